// Improvements for browsers with scripts. Without them the page still works, with times in UTC.

// Airflow shows the page in a frame that can open neither new tabs nor Airflow's pages. Both have the same origin, so
// the UI around the frame opens them: with its router for Airflow's pages, with its own link for a new tab.
const ui = framedByAirflow()

function framedByAirflow() {
  try {
    return parent !== window && parent.location.origin === location.origin ? parent : null
  } catch {
    return null
  }
}

function openInUi(url) {
  ui.history.pushState({ idx: (ui.history.state?.idx ?? 0) + 1, key: String(Date.now()) }, '', url)
  ui.dispatchEvent(new ui.PopStateEvent('popstate', { state: ui.history.state }))
}

function openTab(url) {
  const link = ui.document.createElement('a')
  Object.assign(link, { href: url, target: '_blank', rel: 'noopener' })
  link.click()
}

document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href]')
  if (!link || event.defaultPrevented || event.button !== 0) return
  const newTab = event.metaKey || event.ctrlKey || event.shiftKey
  if (ui && (link.target === '_blank' || newTab)) {
    event.preventDefault()
    openTab(link.href)
  } else if (ui && link.dataset.airflow !== undefined) {
    event.preventDefault()
    openInUi(link.href)
  } else if (!newTab && link.target === '' && !link.hasAttribute('download') && link.hash === '') {
    document.documentElement.classList.add('loading')
  }
})

// A page restored from the browser's memory is no longer loading.
addEventListener('pageshow', () => document.documentElement.classList.remove('loading'))

// Times in the zone that the visitor chose in Airflow.
const shapes = {
  full: { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  short: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  day: { day: 'numeric', month: 'short', year: 'numeric' },
  clock: { hour: '2-digit', minute: '2-digit' },
}

function zone() {
  try {
    const chosen = JSON.parse(localStorage.getItem('timezone'))
    Intl.DateTimeFormat('en-GB', { timeZone: chosen })
    return chosen ?? undefined
  } catch {
    return undefined
  }
}

const timeZone = zone()
for (const element of document.querySelectorAll('time[data-shape]')) {
  const format = new Intl.DateTimeFormat('en-GB', { ...shapes[element.dataset.shape], hourCycle: 'h23', timeZone })
  element.textContent = format.format(new Date(element.dateTime))
}
for (const element of document.querySelectorAll('[data-zone]')) {
  element.textContent = timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone
}

// Filters apply at once; empty fields stay out of the address.
for (const form of document.querySelectorAll('form[data-filters]')) {
  form.addEventListener('submit', () => {
    for (const field of form.elements) field.disabled ||= field.value === ''
    document.documentElement.classList.add('loading')
  })
  form.addEventListener('change', (event) => {
    if (event.target.matches('select, input[type="date"]')) form.requestSubmit()
  })
}

addEventListener('pageshow', () => {
  for (const field of document.querySelectorAll('form[data-filters] :disabled')) field.disabled = false
})
