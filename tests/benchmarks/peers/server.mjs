// @tus/server as its README starts it: node server.mjs DIRECTORY PORT
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

// It is installed where the driver has made a folder for it, which is the current one.
const require = createRequire(pathToFileURL(`${process.cwd()}/package.json`))
const { Server } = await import(pathToFileURL(require.resolve('@tus/server')))
const { FileStore } = await import(pathToFileURL(require.resolve('@tus/file-store')))

const [directory, port] = process.argv.slice(2)
const server = new Server({ path: '/files', datastore: new FileStore({ directory }) })
server.listen({ host: '127.0.0.1', port: Number(port) })
