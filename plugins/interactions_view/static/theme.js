// Follows the theme of Airflow's UI, before the first paint. Both are served from one origin: Airflow keeps the
// visitor's choice ("light", "dark", "system") in localStorage, and a change there arrives here as an event.
(() => {
  const root = document.documentElement
  const systemDark = matchMedia('(prefers-color-scheme: dark)')
  function follow() {
    let chosen = null
    try {
      chosen = localStorage.getItem('theme')
    } catch { /* no storage: use the system's theme */ }
    const dark = chosen === 'dark' || (chosen !== 'light' && systemDark.matches)
    const theme = dark ? 'dark' : 'light'
    if (root.dataset.theme === theme) return
    root.dataset.theme = theme
    dispatchEvent(new Event('themechange'))
  }
  root.classList.add('scripted')
  addEventListener('storage', (event) => (event.key === 'theme' || event.key === null) && follow())
  systemDark.addEventListener('change', follow)
  follow()
})()
