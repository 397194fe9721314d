import Uppy from '@uppy/core'
import Dashboard from '@uppy/dashboard'
import GoldenRetriever from '@uppy/golden-retriever'
import Tus from '@uppy/tus'

import '@uppy/core/css/style.min.css'
import '@uppy/dashboard/css/style.min.css'
import './style.css'

import { acceptable, describeLimits, refusal } from './limits.js'
import { Problems, Waiting } from './notices.js'
import { showSpeed } from './speed.js'
import { inWords, waitingInWords } from './words.js'

const MIB = 1024 * 1024
// For an hour without a byte; the counter begins anew with each that arrives.
const RETRY_DELAYS_MS = [0, 1000, 3000, 5000, 10_000, ...Array(240).fill(15_000)]
// Copies of what is being sent, for pages that are opened again; larger files are asked for.
const KEPT = { maxFileSize: 512 * MIB, maxTotalSize: 2048 * MIB }

const WORDS = {
  dashboardTitle: 'Files',
  sessionRestored: 'Your files are here again',
  recoveredAllFiles: 'Press Upload to resume them where they stopped.',
  reSelect: 'Choose again',
  recoveredXFiles: {
    0: 'One file is too large to be kept here: choose it again, then press Upload to resume it.',
    1: '%{smart_count} files are too large to be kept here: choose them again, then press Upload to resume them.',
  },
}

const problems = new Problems()
const waiting = new Waiting()

try {
  start(await loadSettings())
} catch {
  problems.add('page', 'The server cannot be reached:', 'check your network, then reload this page.')
}

/** @returns what `config.json` says: PageSettings of web/upload_page.py */
async function loadSettings() {
  const answer = await fetch('config.json')
  if (!answer.ok) throw new Error(`status ${answer.status}`)
  const settings = await answer.json()
  return { ...settings, endpoint: new URL(settings.endpoint, document.baseURI).href }
}

function start(settings) {
  document.getElementById('limits').textContent = describeLimits(settings)
  document.getElementById('token').hidden = !settings.token
  const uppy = new Uppy({
    id: 'upload',
    restrictions: { allowedFileTypes: acceptable(settings) },
    onBeforeFileAdded: (file, files) => takes(file, files, settings),
  })
  uppy.use(Dashboard, {
    target: '#uppy',
    inline: true,
    width: '100%',
    theme: 'auto',
    proudlyDisplayPoweredByUppy: false,
    showLinkToFileUploadResult: settings.downloads,
    singleFileFullScreen: false,
    locale: { strings: WORDS },
  })
  uppy.use(Tus, {
    endpoint: settings.endpoint,
    headers: authorization,
    retryDelays: RETRY_DELAYS_MS,
    removeFingerprintOnSuccess: true,
    onShouldRetry: (error, _attempt, options, usual) => {
      const again = usual(error)
      const status = error.originalResponse?.getStatus()
      if (again) waiting.add(options.fileID, waitingInWords(status))
      return again
    },
  })
  uppy.use(GoldenRetriever, { indexedDB: KEPT })
  tellWhatGoesWrong(uppy, settings)
  uppy.on('files-added', (files) => {
    for (const file of files) uppy.setFileState(file.id, { tus: { ...file.tus, ...way(file, settings) } })
  })
  showSpeed(uppy, waiting)
  callOneFileAList()
}

/** How to send a file: what the server writes at once comes with the request that creates it. */
function way(file, { small_size, chunk_size }) {
  return {
    fileID: file.id, // so that onShouldRetry knows
    uploadDataDuringCreation: file.size !== null && file.size <= small_size,
    ...(chunk_size !== null && { chunkSize: chunk_size }),
  }
}

/** Uppy does it for two files, but not for one: screen readers need a list around its items. */
function callOneFileAList() {
  const observer = new MutationObserver(() => {
    document.querySelector('.uppy-Dashboard-files:not([role])')?.setAttribute('role', 'list')
  })
  observer.observe(document.getElementById('uppy'), { childList: true, subtree: true })
}

function takes(file, files, settings) {
  if (Object.hasOwn(files, file.id)) return false // Uppy says that it is there already
  const why = refusal(file, settings)
  if (why !== null) problems.add(`refused ${file.id}`, file.name, why)
  return why === null
}

function authorization() {
  const token = document.getElementById('token-value').value.trim()
  return token ? { Authorization: `Bearer ${token}` } : {}
}

function tellWhatGoesWrong(uppy, settings) {
  const settled = (file) => {
    if (file === undefined) return
    waiting.remove(file.id)
    problems.remove(file.id)
  }
  uppy.on('upload-progress', settled)
  uppy.on('upload-success', settled)
  uppy.on('upload-retry', settled)
  uppy.on('file-removed', settled)
  uppy.on('upload-pause', settled)
  for (const event of ['pause-all', 'cancel-all', 'retry-all']) uppy.on(event, () => waiting.clear())
  uppy.on('cancel-all', () => problems.clear())
  uppy.on('retry-all', () => problems.clear())
  uppy.on('upload-error', (file, _error, response) => {
    if (file === undefined) return
    const error = inWords(response?.status, response?.body?.xhr?.responseText, settings)
    settled(file)
    problems.add(file.id, file.name, error)
    uppy.setFileState(file.id, { error }) // what its question mark shows
    uppy.setState({ error })
  })
}
