// Sums of a period: tiles, and tables by cause, size and duration.

import { element, setText } from './dom.js'
import { bins, bound, bytes, cause, count, duration, share, speed } from './words.js'

const TILES = [
  ['Success', (s) => (s.success_rate == null ? '–' : share(s.success_rate)), 'of the uploads that ended'],
  ['Finished', (s) => count(s.totals.finished), 'all bytes arrived'],
  ['Cancelled', (s) => count(s.totals.cancelled), 'removed before the end'],
  ['Expired', (s) => count(s.totals.expired), 'given up by their clients'],
  ['Interrupted', (s) => count(sum(s.interrupted)), 'bodies that broke off'],
  ['Resumed', (s) => count(s.totals.resumed), 'retries that went on'],
  ['Received', (s) => bytes(s.totals.bytes), (s) => `${speed(s.bytes_per_s)} on average`],
  ['Begun', (s) => count(s.totals.created), 'new uploads'],
]

const sum = (counts) => Object.values(counts).reduce((all, n) => all + n, 0)

const BREAKDOWNS = [
  {
    title: 'Sizes of finished uploads',
    none: 'No upload was finished.',
    note: (s) => s.sizes.mean_bytes != null && `${bytes(s.sizes.mean_bytes)} on average`,
    rows: (s) => zip(bins(s.sizes.up_to_bytes, bytes), s.sizes.uploads),
  },
  {
    title: 'Durations of finished uploads',
    none: 'No upload was finished.',
    note: (s) =>
      s.durations.mean_s != null &&
      `${duration(s.durations.mean_s)} on average, pauses included`,
    rows: (s) => zip(bins(s.durations.up_to_s, bound), s.durations.uploads),
  },
  {
    title: 'Why uploads were interrupted',
    none: 'None was interrupted.',
    rows: (s) => Object.entries(s.interrupted),
    causes: true,
  },
  {
    title: 'Requests answered with an error',
    none: 'All requests went well.',
    rows: (s) => Object.entries(s.refused),
    note: (s) => s.totals.requests > 0 && `of ${count(s.totals.requests)} requests`,
    causes: true,
  },
  {
    title: 'Hooks that failed',
    none: 'None failed.',
    rows: (s) => Object.entries(s.hook_errors),
  },
]

const zip = (names, counts) => (sum(counts) ? names.map((name, i) => [name, counts[i]]) : [])

export class Figures {
  constructor(tiles, breakdowns) {
    this.tiles = TILES.map(([name]) => ({ value: element('dd', {}), note: element('dd', { class: 'quiet' }), name }))
    tiles.append(
      ...this.tiles.map(({ name, value, note }) =>
        element('div', { class: 'card tile' }, element('dt', {}, name), value, note),
      ),
    )
    this.bodies = BREAKDOWNS.map(() => element('div', {}))
    breakdowns.append(
      ...BREAKDOWNS.map(({ title }, i) =>
        element('div', { class: 'card' }, element('h3', {}, title), this.bodies[i]),
      ),
    )
  }

  show(stats) {
    TILES.forEach(([, value, note], i) => {
      setText(this.tiles[i].value, value(stats))
      setText(this.tiles[i].note, typeof note === 'string' ? note : note(stats))
    })
    BREAKDOWNS.forEach((one, i) => this.bodies[i].replaceChildren(...breakdown(one, stats)))
  }
}

function breakdown(one, stats) {
  const rows = one.rows(stats)
  if (rows.length === 0) return [element('p', { class: 'quiet' }, one.none)]
  const most = Math.max(...rows.map(([, n]) => n))
  const lines = rows.map(([name, n]) => {
    const bar = n > 0 ? element('span', { class: 'bar', 'aria-hidden': 'true' }) : null
    // Set by script: a style attribute is against the policy of the page.
    if (bar) bar.style.width = `${(100 * n) / most}%`
    const said = one.causes ? cause(name) : name
    const code = one.causes && said !== name ? element('code', { class: 'quiet' }, name) : null
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, said, ...[code, bar].filter(Boolean)),
      element('td', { class: 'number' }, count(n)),
    )
  })
  const note = one.note?.(stats)
  return [
    ...(note ? [element('p', { class: 'quiet' }, note)] : []),
    element(
      'table',
      { class: 'bars' },
      element('caption', { class: 'unseen' }, one.title),
      element('tbody', {}, ...lines),
    ),
  ]
}
