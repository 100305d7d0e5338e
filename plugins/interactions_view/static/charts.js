// Draws each <figure data-chart> from the table inside it. The table stays for screen readers.
/* global Chart */

function colour(name) {
  const probe = document.createElement('span')
  probe.className = name
  document.body.append(probe)
  const value = getComputedStyle(probe).getPropertyValue('--tone')
  probe.remove()
  return value || token('--brand')
}

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name)
}

function series(table) {
  const heads = [...table.tHead.rows[0].cells].slice(1)
  const rows = [...table.tBodies[0].rows]
  return {
    labels: rows.map((row) => row.cells[0].textContent.trim()),
    datasets: heads.map((head, index) => ({
      label: head.textContent.trim(),
      tone: head.className,
      data: rows.map((row) => {
        const value = row.cells[index + 1].dataset.value
        return value === '' ? null : Number(value)
      }),
    })),
  }
}

function draw(figure) {
  const { labels, datasets } = series(figure.querySelector('table'))
  const line = figure.dataset.chart === 'line'
  const lying = figure.dataset.chart === 'lying' // bars from left to right, for long names
  const grid = token('--border')
  const text = token('--text-muted')
  const canvas = document.createElement('canvas')
  canvas.setAttribute('aria-hidden', 'true')
  figure.querySelector('canvas')?.remove()
  figure.append(canvas)
  return new Chart(canvas, {
    type: line ? 'line' : 'bar',
    data: {
      labels,
      datasets: datasets.map(({ label, tone, data }) => ({
        label,
        data,
        backgroundColor: colour(tone),
        borderColor: colour(tone),
        borderRadius: line ? 0 : 3,
        borderWidth: line ? 2 : 0,
        pointRadius: line ? 2.5 : 0,
        pointHitRadius: 12,
        spanGaps: true,
        clip: false, // the dot of a full five stars sits on the edge
        tension: 0.25,
        maxBarThickness: 36,
        categoryPercentage: 0.85,
      })),
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: 'index', axis: lying ? 'y' : 'x', intersect: false },
      indexAxis: lying ? 'y' : 'x',
      scales: {
        [lying ? 'y' : 'x']: {
          stacked: !line,
          grid: { display: false },
          border: { color: grid },
          ticks: { color: text, maxRotation: 0, autoSkip: !lying, autoSkipPadding: 12 },
        },
        [lying ? 'x' : 'y']: {
          stacked: !line,
          min: line ? 1 : 0,
          max: line ? 5 : undefined,
          suggestedMax: line ? 5 : 4,
          grid: { color: grid },
          border: { display: false },
          ticks: { color: text, precision: 0, maxTicksLimit: 6 },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          backgroundColor: token('--text'),
          titleColor: token('--bg'),
          bodyColor: token('--bg'),
          padding: 10,
          cornerRadius: 6,
          boxPadding: 4,
          usePointStyle: true,
          filter: (item) => item.raw !== null,
        },
      },
    },
  })
}

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily
Chart.defaults.font.size = 12
let charts = [...document.querySelectorAll('figure[data-chart]')].map(draw)

addEventListener('themechange', () => {
  for (const chart of charts) chart.destroy()
  charts = [...document.querySelectorAll('figure[data-chart]')].map(draw)
})
