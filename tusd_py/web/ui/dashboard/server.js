// The parts of the server, as its readiness check finds them.

import { element } from './dom.js'
import { bytes, count, duration } from './words.js'

const PARTS = { data: 'Bytes', offsets: 'Records', disk: 'Disk', outbox: 'Pending hooks' }

const WHOLE = { ok: 'Takes uploads', stopping: 'Is being stopped', lost: 'Cannot be reached' }

const words = (name) => name.replaceAll('_', ' ').replace(/^./, (first) => first.toUpperCase())

function fact(name, value) {
  if (name.endsWith('_bytes') && typeof value === 'number') {
    return [words(name.replace(/_bytes$/, '')), bytes(value)]
  }
  if (name === 'duration_ms') return ['Answered in', duration(value / 1000)]
  if (typeof value === 'boolean') return [words(name), value ? 'yes' : 'no']
  return [words(name), typeof value === 'number' ? count(value) : String(value ?? '–')]
}

export function showServer(place, { status, checks }) {
  const parts = Object.entries(checks).map(([name, { ok, error, ...facts }]) =>
    card(PARTS[name] ?? words(name), ok, ok ? 'Works' : error, facts),
  )
  const whole = WHOLE[status] ?? 'Cannot take all uploads'
  place.replaceChildren(card('This server', status === 'ok', whole, {}), ...parts)
}

function card(name, ok, said, facts) {
  return element(
    'div',
    { class: 'card part' },
    element('h3', {}, name),
    element('p', { class: ok ? 'works' : 'fails' }, said),
    element(
      'dl',
      {},
      ...Object.entries(facts).flatMap(([key, value]) => {
        const [term, text] = fact(key, value)
        return [element('dt', {}, term), element('dd', {}, text)]
      }),
    ),
  )
}
