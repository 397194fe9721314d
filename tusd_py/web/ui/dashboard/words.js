// Numbers and codes, as people read them.

import { prettierBytes } from '@transloadit/prettier-bytes'

const whole = new Intl.NumberFormat('en')
const percent = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 })

export const count = (n) => whole.format(n)
export const bytes = (n) => prettierBytes(Math.max(0, Math.round(n)))
export const speed = (n) => `${bytes(n)}/s`

// Nothing short of all of them is "100%".
export const share = (part) => (part > 0.999 && part < 1 ? '> 99.9%' : percent.format(part))

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`
}

// Bins are told by their upper ends; the last one has none.
export function bins(ends, name) {
  return [...ends, null].map((end, i) => {
    if (i === 0) return `up to ${name(end)}`
    return end === null ? `over ${name(ends[i - 1])}` : `${name(ends[i - 1])} to ${name(end)}`
  })
}

export function bound(seconds) {
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${seconds / 60} min`
  return seconds < 86400 ? `${seconds / 3600} h` : `${seconds / 86400} d`
}

export function moment(at, period) {
  const options =
    period === 'week'
      ? { weekday: 'short', hour: '2-digit', minute: '2-digit' }
      : { hour: '2-digit', minute: '2-digit' }
  return new Date(at * 1000).toLocaleString(undefined, { ...options, hourCycle: 'h23' })
}

const CAUSES = {
  ERR_UNEXPECTED_EOF: 'The connection broke, or the client paused',
  ERR_READ_TIMEOUT: 'The client sent nothing for too long',
  ERR_UPLOAD_INTERRUPTED: 'The client came back on a new connection',
  ERR_CHECKSUM_MISMATCH: 'Bytes arrived changed: the checksum does not match',
  ERR_MAX_SIZE_EXCEEDED: 'Too large for this server',
  ERR_UPLOAD_SIZE_EXCEEDED: 'More bytes than announced',
  ERR_INSUFFICIENT_STORAGE: 'The disk is full',
  ERR_STORE_UNAVAILABLE: 'The disk or Redis could not be used',
  ERR_SERVER_SHUTDOWN: 'The server was stopped',
  ERR_UPLOAD_STOPPED: 'A hook stopped it',
  ERR_UPLOAD_REJECTED: 'A hook refused it',
  ERR_FILE_TYPE_NOT_ALLOWED: 'A type of file that is not allowed',
  ERR_UPLOAD_NOT_FOUND: 'There is no such upload',
  ERR_UPLOAD_EXPIRED: 'The upload had expired',
  ERR_UPLOAD_LOCKED: 'Another request had the upload',
  ERR_MISMATCHED_OFFSET: 'The client was wrong about the offset',
  ERR_UNAUTHORIZED: 'No token, or a wrong one',
  ERR_FORBIDDEN: 'Not allowed for this user',
  ERR_UNSUPPORTED_VERSION: 'No tus client, or one of another version',
  ERR_METHOD_NOT_ALLOWED: 'A method that is not allowed here',
  ERR_CLAIM_LOST: 'Another node took the upload over',
  ERR_HOOK_UNAVAILABLE: 'A hook could not be asked',
  ERR_AUTHORIZATION_UNAVAILABLE: 'Who it was could not be found out',
  ERR_TOO_MANY_CONNECTIONS: 'Too many connections',
  ERR_INTERNAL_SERVER_ERROR: 'A fault of this server: look at its log',
}

export const cause = (code) => CAUSES[code] ?? code
