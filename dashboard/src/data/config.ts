export interface Config {
  supabaseUrl: string
  publishableKey: string
  listenerUrl?: string
  /** Whether the listener has a mail server; unknown where another host serves the page. */
  sendsMail?: boolean
}

/** Reads `config.json` beside the page. Throws an Error that says what is wrong with it. */
export async function loadConfig(): Promise<Config> {
  const response = await fetch('config.json', { cache: 'no-cache' })
  const config = (await response.json().catch(() => null)) as (Partial<Config> & { message?: string }) | null
  if (!response.ok || !config) throw new Error(config?.message ?? `config.json: HTTP ${response.status}, or no JSON`)
  const { supabaseUrl, publishableKey, listenerUrl, sendsMail } = config
  for (const [name, value] of Object.entries({ supabaseUrl, publishableKey })) {
    if (typeof value !== 'string' || value === '') throw new Error(`config.json: ${name} is missing`)
  }
  return { supabaseUrl: supabaseUrl as string, publishableKey: publishableKey as string, ...(listenerUrl ? { listenerUrl } : {}), ...(typeof sendsMail === 'boolean' ? { sendsMail } : {}) }
}
