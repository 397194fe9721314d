// What went wrong, in words that say what to do.

import { tooLarge } from './limits.js'

/**
 * @param status of the answer; 0 or undefined: there was none
 * @param text of the answer, `CODE: sentence`
 */
export function inWords(status, text, settings) {
  const [, code = '', said = ''] = /^(ERR_\w+): (.*)/.exec(text ?? '') ?? []
  if (!status) return 'The connection was lost. What has arrived is kept: check your network, then retry.'
  switch (status) {
    case 401:
      return 'The server does not know you: enter a valid access token, then retry.'
    case 403:
      return 'You may not upload this here: ask those who run the server.'
    case 404:
    case 410:
      return 'The server no longer has the beginning of this file: remove it here and add it again.'
    case 413:
      return tooLarge(settings.max_size)
    case 415:
      return code === 'ERR_FILE_TYPE_NOT_ALLOWED'
        ? `It is the wrong type of file (${said}): choose another one.`
        : `The server refused it: ${said}.`
    case 423:
      return 'Another page or device is sending this file: close it there, then retry.'
    case 429:
    case 503:
      return 'The server is busy. What has arrived is kept: wait a minute, then retry.'
    case 507:
      return 'The server has no room left. What has arrived is kept: tell those who run it, then retry.'
  }
  if (status >= 500) {
    return 'The server failed, and your file is not to blame: wait a minute, then retry.'
  }
  return `The server refused it: ${said || `status ${status}`}.`
}

/** The same, while it tries again by itself. */
export function waitingInWords(status) {
  // Whatever the last answer was: without a network nothing is tried again.
  if (!status || !navigator.onLine) return 'Connection lost: waiting to resume. What has arrived is kept; leave this page open.'
  if (status === 423) return 'The server is still busy with an earlier part: waiting to resume.'
  if (status === 507) return 'The server has no room left just now: waiting to resume. What has arrived is kept.'
  if (status === 409) return 'Finding out where to resume.'
  return 'The server is busy: waiting to resume. What has arrived is kept; leave this page open.'
}
