// How fast it goes, beside the time that Uppy says is left.

import { prettierBytes } from '@transloadit/prettier-bytes'

const EVERY_MS = 1000
const WEIGHT_OF_NOW = 0.3

/** Show the speed of all uploads together, and their progress in the title of the page. */
export function showSpeed(uppy, waiting) {
  const element = document.getElementById('speed')
  const title = document.title
  let before = null
  let speed = null

  setInterval(() => {
    const files = uppy.getFiles().filter((file) => file.progress.uploadStarted)
    const running = files.some((file) => !file.progress.uploadComplete && !file.isPaused && !file.error)
    const { totalProgress } = uppy.getState()
    document.title = running ? `${totalProgress}% – ${title}` : title
    if (!running || waiting.any) {
      before = speed = null
      element.textContent = ''
      return
    }
    const now = {
      at: performance.now(),
      bytes: files.reduce((sum, file) => sum + (file.progress.bytesUploaded || 0), 0),
    }
    if (before !== null) {
      const latest = (Math.max(0, now.bytes - before.bytes) / (now.at - before.at)) * 1000
      speed = speed === null ? latest : speed + WEIGHT_OF_NOW * (latest - speed)
      element.textContent = `${prettierBytes(speed)}/s`
    }
    before = now
  }, EVERY_MS)
}
