// Writes down what tus-js-client does and sees, for the report that a test judges.

export class Recorder {
  constructor() {
    this.exchanges = []
    this.retries = []
    this.accepted = []
    this.progress = { events: 0, last: null, total: null }
    this._open = new Map()
  }

  // Returns the options with this recorder hooked in.
  attach(options) {
    return {
      ...options,
      onBeforeRequest: (req) => this._begin(req),
      onAfterResponse: (req, res) => this._end(req, res),
      onProgress: (sent, total) => this._progress(sent, total),
      onChunkComplete: (size) => this.accepted.push(size),
      onShouldRetry: (error) => this._shouldRetry(error),
    }
  }

  _begin(req) {
    const exchange = {
      method: req.getMethod(),
      url: req.getURL(),
      sent_offset: number(req.getHeader('Upload-Offset')),
      sent_length: number(req.getHeader('Upload-Length')),
      sent_concat: req.getHeader('Upload-Concat') ?? null,
      request_id: req.getHeader('X-Request-ID') ?? null,
      status: null,
      offset: null,
      took_s: null,
    }
    this.exchanges.push(exchange)
    this._open.set(req, { exchange, since: performance.now() })
  }

  _end(req, res) {
    const { exchange, since } = this._open.get(req)
    this._open.delete(req)
    exchange.status = res.getStatus()
    exchange.offset = number(res.getHeader('Upload-Offset'))
    exchange.took_s = (performance.now() - since) / 1000
  }

  // Resolves when the requests that run now are over, and the client has heard of that.
  async over() {
    const begun = [...this._open.keys()].map((req) => req.getUnderlyingObject())
    const running = begun.filter((req) => req !== null && !req.socket?.closed)
    await Promise.all(running.map((req) => new Promise((resolve) => req.once('close', resolve))))
    await new Promise((resolve) => setImmediate(resolve))
  }

  _progress(sent, total) {
    this.progress = { events: this.progress.events + 1, last: sent, total }
  }

  // As the client decides by itself, but written down.
  _shouldRetry(error) {
    const status = error.originalResponse ? error.originalResponse.getStatus() : null
    const again = status === null || status < 400 || status >= 500 || status === 409 || status === 423
    this.retries.push({ again, status, method: error.originalRequest.getMethod() })
    return again
  }

  report(upload, outcome) {
    const { exchanges, retries, accepted, progress } = this
    return { url: upload.url, ...outcome, exchanges, retries, accepted, progress }
  }
}

function number(text) {
  return text === undefined || text === null ? null : Number(text)
}
