// What tus-js-client can be given to upload.

import { createReadStream, readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'

export function openSource({ kind, path }) {
  switch (kind) {
    case 'file': // of known size, can be read again from anywhere
      return createReadStream(path)
    case 'buffer':
      return readFileSync(path)
    case 'stream': // of unknown size, can be read once
    case 'browser-stream':
      return createReadStream(path).pipe(new PassThrough())
    default:
      throw new Error(`no such kind of source: ${kind}`)
  }
}

// Reads a stream as the client's build for browsers does: it learns of the end of the stream
// only by an empty slice, and then sends a last PATCH without a body.
export const browserFileReader = {
  async openFile(stream, chunkSize) {
    const blocks = stream.iterator({ destroyOnReturn: false })
    let kept = Buffer.alloc(0)
    let keptFrom = 0
    return {
      size: null,
      async slice(start, end) {
        kept = kept.subarray(start - keptFrom)
        keptFrom = start
        while (kept.length < Math.min(chunkSize, end - start)) {
          const { value, done } = await blocks.next()
          if (done) break
          kept = Buffer.concat([kept, value])
        }
        if (kept.length === 0) return { value: null, done: true }
        const value = kept.subarray(0, end - start)
        value.size = value.length
        return { value, done: false }
      },
      close: () => stream.destroy(),
    }
  },
}
