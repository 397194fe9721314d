// Requests to the admin listener, with the token of the operator if it wants one.

import { byId } from './dom.js'

const KEPT = 'tusd_py-admin-token' // until the tab is closed

const form = byId('token')
const field = byId('token-value')

export class Refused extends Error {}

export async function ask(url, headers = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEPT)
    const authorization = token ? { Authorization: `Bearer ${token}` } : {}
    const answer = await fetch(url, { headers: { ...headers, ...authorization } })
    if (answer.ok) return answer
    if (answer.status !== 401) throw new Refused(await answer.text())
    // Somebody may have given a new one in the meantime.
    if (token === sessionStorage.getItem(KEPT)) await newToken(token !== null)
  }
}

function newToken(wrong) {
  form.hidden = false
  field.setAttribute('aria-invalid', wrong)
  byId('token-wrong').hidden = !wrong
  return new Promise((resolve) => form.addEventListener('submit', resolve, { once: true }))
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem(KEPT, field.value.trim())
  form.hidden = true
})
