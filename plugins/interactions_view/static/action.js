// Starts the admin DAG through Airflow's public API with the visitor's login, and shows the result.
const form = document.querySelector('#action')
const outcome = document.querySelector('#outcome')
const WAIT = 1500
const MAX_WAIT = 120_000

form?.addEventListener('submit', async (event) => {
  event.preventDefault()
  const button = form.querySelector('button')
  button.disabled = true
  tell('calm', 'Starting …')
  try {
    await follow(await start())
  } catch (failure) {
    tell('bad', failure.message)
  }
  button.disabled = false
})

function wanted() {
  const conf = {}
  for (const field of form.elements) {
    if (!field.name) continue
    if (field.type === 'checkbox') conf[field.name] = field.checked
    else if (field.value.trim()) conf[field.name] = field.value.trim()
  }
  return conf
}

async function start() {
  const answer = await fetch(form.dataset.runs, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ logical_date: null, conf: wanted() }),
  })
  const body = await answer.json().catch(() => ({}))
  if (answer.ok) return body.dag_run_id
  const detail = typeof body.detail === 'string' ? body.detail : `HTTP ${answer.status}`
  throw new Error(answer.status === 404 ? 'Airflow does not know this DAG yet.' : `Airflow refused: ${detail}`)
}

async function read(url) {
  const answer = await fetch(url)
  return answer.ok ? answer.json() : {}
}

async function follow(id) {
  const run = `${form.dataset.runs}/${encodeURIComponent(id)}`
  const page = `${form.dataset.page}/runs/${encodeURIComponent(id)}`
  if ((await read(form.dataset.dag)).is_paused) {
    tell('risk', 'Started, but the DAG is paused. It runs when a person unpauses it.', page)
    return
  }
  tell('calm', 'Started. Waiting for the result …', page)
  for (const until = Date.now() + MAX_WAIT; Date.now() < until; ) {
    await new Promise((resume) => setTimeout(resume, WAIT))
    const { state } = await read(run)
    if (state === 'success') {
      const { value } = await read(`${run}/taskInstances/carry_out/xcomEntries/return_value`)
      tell('good', value?.outcome ?? `Done. ${value?.events?.length ?? ''} events are in the run’s result.`, page)
      return
    }
    if (state === 'failed') {
      tell('bad', 'The action does not match the ledger. Nothing has changed. The log of the run says why.', page)
      return
    }
  }
  tell('calm', 'Still running.', page)
}

function tell(tone, text, page) {
  const notice = document.createElement('div')
  notice.className = `notice tone-${tone}`
  const words = document.createElement('div')
  words.className = 'text'
  words.textContent = `${text} `
  if (page) {
    const link = document.createElement('a')
    Object.assign(link, { href: page, textContent: 'Open the run' })
    link.dataset.airflow = ''
    words.append(link)
  }
  notice.append(words)
  outcome.replaceChildren(notice)
}
