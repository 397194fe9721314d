// What is being received now: one row for each of the first uploads, and sums for all.

import { EventSourceParserStream } from 'eventsource-parser/stream'
import { ask, Refused } from './asking.js'
import { byId, element, setText } from './dom.js'
import { bytes, duration, plural, share, speed } from './words.js'

const MOST_ROWS = 50
const RETRY_MS = 2000

const rows = new Map()

export function showLive(seen) {
  setText(
    byId('now'),
    seen.count === 0
      ? 'Nothing is being received.'
      : `${plural(seen.count, 'upload')} ${seen.count === 1 ? 'is' : 'are'} being received, ` +
          `${speed(seen.bytes_per_s)} together.`,
  )
  const shown = seen.uploads.slice(0, MOST_ROWS)
  const known = new Set(shown.map((upload) => upload.id))
  for (const [id, row] of rows) {
    if (known.has(id)) continue
    row.line.remove()
    rows.delete(id)
  }
  const body = byId('live').querySelector('tbody')
  for (const upload of shown) {
    if (!rows.has(upload.id)) {
      rows.set(upload.id, makeRow(upload))
      body.append(rows.get(upload.id).line)
    }
    fill(rows.get(upload.id), upload)
  }
  byId('live').hidden = shown.length === 0
  const more = seen.count - shown.length
  byId('more').hidden = more <= 0
  setText(byId('more'), `and ${plural(more, 'more', 'more')}, counted above`)
}

function makeRow(upload) {
  const name = upload.name || upload.id
  const bar = element('progress', { max: '1', 'aria-label': `Progress of ${name}` })
  const [said, fast, left] = ['span', 'td', 'td'].map((kind) =>
    element(kind, { class: kind === 'td' ? 'number' : 'quiet' }),
  )
  const line = element(
    'tr',
    {},
    element(
      'th',
      { scope: 'row', class: 'name', title: upload.id },
      name,
      upload.owner == null ? null : element('span', { class: 'quiet' }, ` ${upload.owner}`),
      bar,
      said,
    ),
    fast,
    left,
  )
  return { line, bar, said, fast, left }
}

function fill(row, upload) {
  if (upload.length) {
    const part = Math.min(1, upload.offset / upload.length)
    row.bar.value = part
    setText(row.said, `${share(Math.floor(part * 100) / 100)} of ${bytes(upload.length)}`)
  } else {
    row.bar.removeAttribute('value')
    setText(row.said, `${bytes(upload.offset)} so far`)
  }
  setText(row.fast, speed(upload.bytes_per_s))
  setText(row.left, upload.eta_s == null ? '–' : duration(upload.eta_s))
}

export function showNothingKnown() {
  setText(byId('now'), 'Not known just now.')
  byId('live').hidden = byId('more').hidden = true
}

// EventSource can send no token, and gives up on some errors; this does neither.
export async function watchLive(show, tell) {
  for (;;) {
    try {
      for await (const { data } of events('./api/live')) {
        const seen = JSON.parse(data)
        tell(seen.whole ? 'live' : 'part')
        show(seen)
      }
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof Refused)) throw error
    }
    tell('lost')
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}

async function* events(url) {
  const answer = await ask(url, { Accept: 'text/event-stream' })
  const reader = answer.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
    .getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    yield value
  }
}
