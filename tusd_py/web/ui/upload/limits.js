// What the server takes, checked before a byte is sent. The server checks all of it again.

import { prettierBytes } from '@transloadit/prettier-bytes'

const MOST_NAMED = 10

/** @returns one sentence for people, or two */
export function describeLimits({ max_size, allowed_types, allowed_extensions }) {
  const kinds = allowed_extensions.length ? dotted(allowed_extensions) : allowed_types
  const size = max_size === null ? '' : ` Up to ${prettierBytes(max_size)} each.`
  const kind = kinds.length ? ` Only ${named(kinds)}.` : ''
  return `Interrupted uploads resume where they stopped.${size}${kind}`
}

/** @returns why the server would refuse a file and what to do, or null if it would not */
export function refusal(file, { max_size, allowed_types, allowed_extensions }) {
  if (max_size !== null && file.size !== null && file.size > max_size) {
    return tooLarge(max_size)
  }
  const type = (file.type ?? '').split(';')[0].toLowerCase()
  if (allowed_types.length && !allowed_types.some((glob) => matches(type, glob))) {
    return wrongType(allowed_types)
  }
  const name = file.name.toLowerCase()
  if (allowed_extensions.length && !allowed_extensions.some((end) => name.endsWith(`.${end}`))) {
    return wrongType(dotted(allowed_extensions))
  }
  return null
}

export function tooLarge(max_size) {
  const limit = max_size === null ? 'the server takes' : prettierBytes(max_size)
  return `It is too large: choose a file of at most ${limit}.`
}

export function wrongType(kinds) {
  return `It is the wrong type of file: choose ${named(kinds)}.`
}

/** What the dialog for choosing files offers; it can only say "or", and the server means "and". */
export function acceptable({ allowed_types, allowed_extensions }) {
  if (allowed_extensions.length) return dotted(allowed_extensions)
  // A browser knows only globs such as image/*.
  const simple = allowed_types.every((glob) => /^[^*]+\/([^*]+|\*)$/.test(glob))
  return allowed_types.length && simple ? allowed_types : null
}

function dotted(extensions) {
  return extensions.map((extension) => `.${extension}`)
}

function named(kinds) {
  const rest = kinds.length > MOST_NAMED ? ' and some more' : ''
  const words = kinds.slice(0, MOST_NAMED).map((kind) => kind.replace(/^([a-z]+)\/\*$/, '$1 files'))
  return words.join(', ') + rest
}

function matches(type, glob) {
  const pattern = glob.replace(/[.+]/g, '\\$&').replaceAll('*', '.*')
  return new RegExp(`^${pattern}$`).test(type)
}
