/** Numbers that `JSON.stringify` would round are written as marked texts, which `fetch` of the client makes numbers again. */
export const MARK = newMark()
const MARKED = new RegExp(`"${MARK}:([-+.0-9eE]+)"`, 'g')

/** The body of a request with the marked numbers as what they are. */
export function unmarked(body: string): string {
  return body.includes(MARK) ? body.replace(MARKED, '$1') : body
}

/** Nobody can guess it; `crypto.randomUUID` is missing on plain HTTP. */
function newMark(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join('-')
}
