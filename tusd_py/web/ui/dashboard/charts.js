// Charts over time, by uPlot; behind each of them is a table with the same numbers.

import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { element, table } from './dom.js'
import { bytes, count, moment, speed } from './words.js'

const HEIGHT = 200

// Bytes a second within a step; the present one is not over yet.
const rate = (stats) => (step) =>
  step.bytes / Math.max(1, Math.min(stats.step_s, stats.now - step.at))

const CHARTS = [
  {
    title: 'Throughput',
    format: speed,
    series: (stats) => [{ label: 'Received', color: '--blue', values: stats.steps.map(rate(stats)) }],
    fill: true,
  },
  {
    title: 'How uploads ended',
    format: count,
    bars: true,
    series: (stats) => [
      { label: 'Finished', color: '--green', values: stats.steps.map((s) => s.finished) },
      { label: 'Cancelled', color: '--grey', values: stats.steps.map((s) => s.cancelled) },
      { label: 'Expired', color: '--amber', values: stats.steps.map((s) => s.expired) },
    ],
  },
  {
    title: 'Interruptions',
    format: count,
    series: (stats) => [
      { label: 'Interrupted', color: '--red', values: stats.steps.map((s) => s.interrupted) },
      { label: 'Resumed', color: '--blue', values: stats.steps.map((s) => s.resumed), dash: [5, 4] },
    ],
  },
]

export class Charts {
  constructor(place) {
    this.cards = CHARTS.map((chart) => new Card(chart))
    place.append(...this.cards.map((card) => card.node))
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const card of this.cards) card.draw()
    })
  }

  show(stats) {
    for (const card of this.cards) card.show(stats)
  }
}

class Card {
  constructor(chart) {
    this.chart = chart
    this.canvas = element('div', { class: 'chart', role: 'img' })
    this.legend = element('ul', { class: 'legend' })
    this.numbers = element('details', {}, element('summary', {}, `Numbers: ${chart.title}`))
    this.node = element(
      'figure',
      { class: 'card' },
      element('figcaption', {}, element('h3', {}, chart.title)),
      this.legend,
      this.canvas,
      this.numbers,
    )
    // A table of hundreds of rows is made only for those who want it.
    this.numbers.addEventListener('toggle', () => this.fillNumbers())
    new ResizeObserver(() => this.resize()).observe(this.canvas)
  }

  show(stats) {
    const samePeriod = this.stats?.period === stats.period
    this.stats = stats
    this.series = this.chart.series(stats)
    const sums = this.series.map(({ label, values }) => {
      const most = this.chart.format(Math.max(...values))
      return `${label}: at most ${most} in one step`
    })
    this.canvas.setAttribute('aria-label', `${this.chart.title}. ${sums.join('. ')}.`)
    if (samePeriod && this.plot) this.plot.setData(this.data())
    else this.draw()
    this.fillNumbers()
  }

  data() {
    const times = this.stats.steps.map((step) => step.at)
    if (!this.chart.bars) {
      // The last step has a width, too.
      const end = this.stats.steps.at(-1).at + this.stats.step_s
      return [[...times, end], ...this.series.map(({ values }) => [...values, values.at(-1)])]
    }
    // Stacked: the bars behind reach as high as those before them and they together.
    let below = times.map(() => 0)
    const stacked = this.series.map(({ values }) => {
      below = values.map((value, i) => value + below[i])
      return below
    })
    return [times, ...stacked.reverse()]
  }

  draw() {
    if (!this.stats) return
    this.plot?.destroy()
    const styles = getComputedStyle(document.documentElement)
    const color = (name) => styles.getPropertyValue(name).trim()
    this.legend.replaceChildren(
      ...this.series.map(({ label, color: name }) =>
        element('li', { class: `mark ${name.slice(2)}` }, label),
      ),
    )
    const series = this.series.map((one) => ({
      label: one.label,
      stroke: color(one.color),
      width: this.chart.bars ? 0 : 2,
      dash: one.dash,
      fill: this.chart.bars ? color(one.color) : this.chart.fill && `${color(one.color)}33`,
      // A number is that of a whole step, not of a moment.
      paths: this.chart.bars
        ? uPlot.paths.bars({ size: [0.8, 40], align: 1 })
        : uPlot.paths.stepped({ align: 1 }),
      points: { show: false },
    }))
    if (this.chart.bars) series.reverse()
    const axis = {
      stroke: color('--quiet'),
      font: '12px system-ui, sans-serif',
      grid: { stroke: color('--faint'), width: 1 },
      ticks: { stroke: color('--faint'), width: 1 },
    }
    const options = {
      width: Math.max(this.canvas.clientWidth, 200),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: () => [this.stats.from, this.stats.steps.at(-1).at + this.stats.step_s] },
        y: { range: (_, __, most) => [0, this.top(most)] },
      },
      axes: [
        {
          ...axis,
          space: 60,
          values: (_, times) => times.map((at) => moment(at, this.stats.period)),
        },
        {
          ...axis,
          size: this.chart.format === count ? 44 : 76,
          incrs: this.chart.format === count ? undefined : BYTE_STEPS,
          values: (_, values) => values.map((n) => (Number.isInteger(n) ? this.chart.format(n) : '')),
        },
      ],
      series: [{}, ...series],
    }
    this.plot = new uPlot(options, this.data(), this.canvas)
  }

  // Also of nothing there is an axis.
  top(most) {
    const least = this.chart.format === count ? 4 : 1024
    return Math.max(least, (most ?? 0) * 1.05)
  }

  resize() {
    const width = this.canvas.clientWidth
    if (this.plot && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: HEIGHT })
    }
  }

  fillNumbers() {
    this.numbers.querySelector('div')?.remove()
    if (!this.numbers.open || !this.stats) return
    const some = this.stats.steps
      .map((step, i) => [step, i])
      .filter(([, i]) => this.series.some(({ values }) => values[i] > 0))
      .reverse()
    const rows = some.map(([step, i]) => [
      moment(step.at, this.stats.period),
      ...this.series.map(({ values }) => this.chart.format(values[i])),
    ])
    const heads = ['From', ...this.series.map(({ label }) => label)]
    this.numbers.append(
      element(
        'div',
        { class: 'scrolls numbers', tabindex: '0', role: 'region', 'aria-label': this.chart.title },
        rows.length ? table(this.chart.title, heads, rows) : element('p', {}, 'All of it is zero.'),
      ),
    )
  }
}

const BYTE_STEPS = Array.from({ length: 5 }, (_, unit) =>
  [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((n) => n * 1024 ** unit),
).flat()
