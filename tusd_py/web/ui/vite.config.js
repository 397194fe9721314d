import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const page = (name) => fileURLToPath(new URL(name, import.meta.url))

export default defineConfig({
  base: './', // below any prefix that a proxy adds
  build: {
    assetsInlineLimit: 0, // the Content-Security-Policy has files, not data: URLs, in mind
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
    rollupOptions: {
      // One entry for each page; web/pages.py serves it by its name.
      input: { upload: page('upload.html'), dashboard: page('dashboard.html') },
    },
  },
})
