import type { Provider } from '@supabase/supabase-js'
import { config, supabase } from './client'

const NO_PROVIDERS = new Set(['email', 'phone', 'anonymous_users', 'saml'])
const NAMES: Record<string, string> = {
  github: 'GitHub', gitlab: 'GitLab', azure: 'Microsoft', linkedin_oidc: 'LinkedIn', workos: 'WorkOS', slack_oidc: 'Slack', keycloak: 'Keycloak',
}

/** How users of the project may sign in, beside by password, as Supabase Auth's settings say it. */
export async function listProviders(signal: AbortSignal): Promise<Provider[]> {
  const response = await fetch(`${config.supabaseUrl}/auth/v1/settings`, { headers: { apikey: config.publishableKey }, signal })
  return response.ok ? enabledOf(await response.json()) : []
}

export function enabledOf(settings: { external?: Record<string, unknown> }): Provider[] {
  return Object.entries(settings.external ?? {}).flatMap(([name, isOn]) => (isOn === true && !NO_PROVIDERS.has(name) ? [name as Provider] : []))
}

export function nameOf(provider: string): string {
  return NAMES[provider] ?? provider.charAt(0).toUpperCase() + provider.slice(1)
}

/** Leaves for the provider, which comes back to this page; its address has to be among the project's redirect URLs. */
export async function signInWith(provider: Provider): Promise<void> {
  const { error } = await supabase.auth.signInWithOAuth({ provider, options: { redirectTo: location.href.split('#')[0] ?? location.href } })
  if (error) throw error
}
