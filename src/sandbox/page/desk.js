// The control endpoint, as the page asks it. Answers are JSON; a refusal is an `Error` with the words that came with it.

/** Asks for something. */
export const ask = (path) => answered(fetch(`/control/${path}`, { headers: { accept: 'application/json' } }));

/** Has something done. */
export function tell(path, body) {
  const headers = { accept: 'application/json', 'content-type': 'application/json' };
  return answered(fetch(`/control/${path}`, { method: 'POST', headers, body: JSON.stringify(body) }));
}

/** Ends all faults. */
export const endFaults = () => answered(fetch('/control/faults', { method: 'DELETE' }));

async function answered(request) {
  const response = await request;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `the sandbox answered ${response.status}`);
  return answer;
}

/**
 * Follows what happens: `{ snapshot, changes, pulse, linked, lost }` are called with what came. The browser connects again
 * by itself, and then gets everything anew.
 */
export function follow(heard) {
  const source = new EventSource('/control/events');
  for (const name of ['snapshot', 'changes', 'pulse']) {
    source.addEventListener(name, (event) => heard[name](JSON.parse(event.data)));
  }
  source.addEventListener('open', () => heard.linked());
  source.addEventListener('error', () => heard.lost());
}
