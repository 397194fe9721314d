import './style.css'
import { ask } from './asking.js'
import { Charts } from './charts.js'
import { byId, setText } from './dom.js'
import { Figures } from './figures.js'
import { showLive, showNothingKnown, watchLive } from './live.js'
import { showServer } from './server.js'

const STATS_EVERY_MS = 5000
const SERVER_EVERY_MS = 10000

const CONNECTION = {
  live: 'Live',
  part: 'Live, but not all workers could be asked',
  lost: 'Connection lost: trying again',
}

const charts = new Charts(byId('charts'))
const figures = new Figures(byId('tiles'), byId('breakdowns'))
let asked = 0

function tellConnection(state) {
  byId('connection').className = state
  if (state === 'lost') showNothingKnown()
  setText(byId('connection'), CONNECTION[state])
}

function notice(text) {
  byId('notice').hidden = text === ''
  setText(byId('notice'), text)
}

const chosen = () => document.querySelector('#period input:checked').value

async function loadStats() {
  const number = ++asked
  const period = chosen()
  try {
    const answer = await ask(`./api/stats?period=${period}`)
    const stats = await answer.json()
    if (number === asked) showStats(stats)
  } catch {
    if (number === asked) notice('The history cannot be read just now: trying again.')
  }
}

function showStats(stats) {
  setText(byId('period-title'), `The last ${stats.period}`)
  const lost = stats.totals.lost
  if (!stats.up_to_date) notice('The history cannot be written just now: what happens is counted later.')
  else if (lost > 0) notice(`Of ${lost} minutes the counts were lost: the history could not be written.`)
  else notice('')
  const nothing = stats.totals.requests === 0 && stats.totals.bytes === 0 && stats.totals.created === 0
  byId('empty').hidden = !nothing
  for (const id of ['tiles', 'charts', 'breakdowns']) byId(id).hidden = nothing
  figures.show(stats)
  charts.show(stats)
  document.body.dataset.shown = stats.period
}

async function loadServer() {
  try {
    const answer = await fetch('./readyz') // 503 has the same JSON
    showServer(byId('server'), await answer.json())
  } catch {
    showServer(byId('server'), { status: 'lost', checks: {} })
  }
}

// Who does not look asks for nothing.
function repeat(load, pause) {
  const again = async () => {
    if (!document.hidden) await load()
    setTimeout(again, pause)
  }
  document.addEventListener('visibilitychange', () => document.hidden || load())
  again()
}

byId('period').addEventListener('change', loadStats)
watchLive(showLive, tellConnection)
repeat(loadStats, STATS_EVERY_MS)
repeat(loadServer, SERVER_EVERY_MS)
