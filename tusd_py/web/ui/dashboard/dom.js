// Elements, made without any markup: what clients sent is always text.

export const byId = (id) => document.getElementById(id)

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue
    made.setAttribute(key, value === true ? '' : value)
  }
  made.append(...children.filter((child) => child != null))
  return made
}

// Only what changes is touched, so that screen readers and selections stay where they are.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

export function table(caption, heads, rows) {
  const cells = (row) =>
    row.map((cell, i) =>
      i === 0
        ? element('th', { scope: 'row' }, cell)
        : element('td', { class: 'number' }, cell),
    )
  return element(
    'table',
    {},
    element('caption', { class: 'unseen' }, caption),
    element(
      'thead',
      {},
      element(
        'tr',
        {},
        ...heads.map((head, i) => element('th', { scope: 'col', class: i > 0 && 'number' }, head)),
      ),
    ),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...cells(row)))),
  )
}
