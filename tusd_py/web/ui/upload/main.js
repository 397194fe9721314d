import Uppy from '@uppy/core'
import Dashboard from '@uppy/dashboard'
import Tus from '@uppy/tus'

import '@uppy/core/css/style.min.css'
import '@uppy/dashboard/css/style.min.css'
import './style.css'

const settings = await (await fetch('config.json')).json()
const endpoint = new URL(settings.endpoint, document.baseURI).href

new Uppy()
  .use(Dashboard, { target: '#uppy', inline: true, width: '100%', theme: 'auto', proudlyDisplayPoweredByUppy: false })
  .use(Tus, { endpoint })
