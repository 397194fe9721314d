import { createSHA256 } from '/hash-wasm/index.esm.min.js'
import { Dashboard, Tus, Uppy } from '/uppy/uppy.min.mjs'

const SLICE_BYTES = 4 * 1024 * 1024
const REFRESH_MS = 2000
const login = document.querySelector('#login')
let headers = {}

const uppy = new Uppy({ restrictions: { allowedFileTypes: ['video/*'], maxFileSize: 1024 ** 3 } })
  .use(Tus, {
    endpoint: '/files/',
    headers: () => headers,
    retryDelays: [0, 1000, 3000, 5000, 10_000, 20_000, 60_000],
    removeFingerprintOnSuccess: true, // or the same file would be found complete the next time
    limit: 3,
  })

// The server compares what arrived with the digest in the metadata before it says that it is there.
uppy.addPreProcessor(async (ids) => {
  for (const id of ids) {
    const file = uppy.getFile(id)
    uppy.emit('preprocess-progress', file, { mode: 'indeterminate', message: 'Computing SHA-256' })
    uppy.setFileMeta(id, { sha256: await sha256(file.data) })
    uppy.emit('preprocess-complete', file)
  }
})

async function sha256(blob) {
  const hash = await createSHA256()
  for (let start = 0; start < blob.size; start += SLICE_BYTES) {
    hash.update(new Uint8Array(await blob.slice(start, start + SLICE_BYTES).arrayBuffer()))
  }
  return hash.digest('hex')
}

async function showVideos() {
  const { videos, troubles } = await (await fetch('/videos', { headers })).json()
  show('#videos', videos.map((video) => `${video.name}: ${video.size} bytes, SHA-256 ${video.sha256}`))
  show('#troubles', troubles.map((t) => `${t.at} ${t.name}: ${t.what} at ${t.offset} of ${t.size}`))
}

function show(list, lines) {
  document.querySelector(list).replaceChildren(
    ...lines.map((line) => Object.assign(document.createElement('li'), { textContent: line })),
  )
}

login.addEventListener('submit', async (event) => {
  event.preventDefault()
  const answer = await fetch('/login', { method: 'POST', body: new FormData(login) })
  if (!answer.ok) {
    login.querySelector('output').value = await answer.text()
    return
  }
  headers = { Authorization: `Bearer ${(await answer.json()).token}` }
  login.hidden = true
  uppy.use(Dashboard, { target: '#uppy', inline: true })
  await showVideos()
  setInterval(() => showVideos().catch(console.warn), REFRESH_MS)
})
