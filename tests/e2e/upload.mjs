// node upload.mjs JSON: uploads with tus-js-client, and prints a report of it as JSON.
//
// The JSON is a list of uploads, which run at once, each with
//   source   {kind, path}, see sources.mjs
//   options  of tus-js-client
//   storage  a file for FileUrlStorage, or null
//   resume   whether to look there for an earlier upload and go on with it
//   retries  how often to retry at once, with a short pause, while nothing gets through
// A line on standard input tells all of them what to do: "abort", "restart" (abort and start
// at once), "resume" (abort, and start when that is done), "terminate" (abort and remove from
// the server).

import http from 'node:http'
import { createInterface } from 'node:readline'
import tus from 'tus-js-client'
import { Recorder } from './recorder.mjs'
import { browserFileReader, openSource } from './sources.mjs'

// As of Node 19, and as browsers do it: Debian's Node 18 would open a connection per request.
http.globalAgent = new http.Agent({ keepAlive: true, scheduling: 'lifo', timeout: 5000 })

const RETRY_DELAY_MS = 20
const EXIT_MS = 500

class Run {
  constructor({ source, options, storage, resume, retries }) {
    this._resume = resume
    this._recorder = new Recorder()
    this.ended = new Promise((resolve) => {
      this._end = (outcome) => resolve(this._recorder.report(this._upload, outcome))
    })
    const allOptions = this._recorder.attach({
      ...options,
      storeFingerprintForResuming: storage !== null,
      retryDelays: retries === 0 ? null : [0, ...Array(retries - 1).fill(RETRY_DELAY_MS)],
      onSuccess: () => this._end({ outcome: 'success' }),
      onError: (error) => this._end({ outcome: 'error', error: String(error) }),
    })
    if (storage !== null) allOptions.urlStorage = new tus.FileUrlStorage(storage)
    if (source.kind === 'browser-stream') allOptions.fileReader = browserFileReader
    this._upload = new tus.Upload(openSource(source), allOptions)
  }

  async start() {
    if (this._resume) {
      const [previous] = await this._upload.findPreviousUploads()
      if (previous === undefined) throw new Error('there is no earlier upload in the storage')
      this._upload.resumeFromPreviousUpload(previous)
    }
    this._upload.start()
  }

  async command(line) {
    if (line === 'restart') {
      this._upload.abort()
      this._upload.start()
    } else if (line === 'resume') {
      // The client would take the error of the request that it aborts for one of the request that
      // follows, if that has begun by then (tus-js-client 4.3.1 resets `_aborted` in `start`).
      const over = this._recorder.over()
      this._upload.abort()
      await over
      this._upload.start()
    } else if (line === 'abort') {
      await this._upload.abort()
      this._end({ outcome: 'aborted' })
    } else if (line === 'terminate') {
      await this._upload.abort(true).then(
        () => this._end({ outcome: 'terminated' }),
        (error) => this._end({ outcome: 'error', error: String(error) }),
      )
    } else {
      throw new Error(`no such command: ${line}`)
    }
  }
}

const runs = JSON.parse(process.argv[2]).map((config) => new Run(config))
const commands = createInterface({ input: process.stdin })
commands.on('line', (line) => runs.forEach((run) => run.command(line)))
await Promise.all(runs.map((run) => run.start()))
const reports = await Promise.all(runs.map((run) => run.ended))
commands.close()
process.stdin.destroy()
process.stdout.write(JSON.stringify(reports))
// The client may still have something to write to its storage, so no exit yet. But Node.js
// waits for connections whose answer came before the end of the request, until the server
// closes them.
setTimeout(() => process.exit(0), EXIT_MS).unref()
