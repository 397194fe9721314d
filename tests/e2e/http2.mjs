// node http2.mjs ORIGIN FILE: uploads over one HTTP/2 connection, and prints JSON of how it went.
//
// The first PATCH falls silent in its middle; HEAD asks for the offset on another stream, and a
// second PATCH brings the rest. Whether the certificate is good does not matter here.

import { readFileSync } from 'node:fs'
import http2 from 'node:http2'

const TUS = { 'tus-resumable': '1.0.0' }
const BODY = { ...TUS, 'content-type': 'application/offset+octet-stream' }
const [, , origin, path] = process.argv
const bytes = readFileSync(path)
const half = Math.floor(bytes.length / 2)
const session = http2.connect(origin, { rejectUnauthorized: false })

function open(method, path, headers) {
  const stream = session.request({ ':method': method, ':path': path, ...headers })
  const answer = new Promise((resolve, reject) => {
    stream.on('response', resolve)
    stream.on('error', reject)
  })
  stream.resume()
  return { stream, answer }
}

async function ask(method, path, headers, body) {
  const { stream, answer } = open(method, path, headers)
  stream.end(body)
  const head = await answer
  return { status: head[':status'], offset: Number(head['upload-offset']), location: head.location }
}

const created = await ask('POST', '/files/', { ...TUS, 'upload-length': String(bytes.length) })
const upload = new URL(created.location).pathname
const headers = { ...BODY, 'upload-offset': '0', 'content-length': String(bytes.length) }
const first = open('PATCH', upload, headers)
first.answer.catch(() => {}) // it may be reset: what counts is what HEAD says
await new Promise((resolve) => first.stream.write(bytes.subarray(0, half), resolve))
const since = performance.now()
const asked = await ask('HEAD', upload, TUS)
asked.took_s = (performance.now() - since) / 1000
const rest = bytes.subarray(asked.offset)
const second = await ask('PATCH', upload, { ...BODY, 'upload-offset': String(asked.offset) }, rest)
session.destroy()
process.stdout.write(JSON.stringify({ created, asked, second, half }))
