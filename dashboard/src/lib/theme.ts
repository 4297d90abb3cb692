import { store, stored } from './prefs'
import { Store } from './store'

export type Theme = 'system' | 'light' | 'dark'
const THEMES: Theme[] = ['system', 'light', 'dark']

export const theme = new Store<Theme>(THEMES.find((one) => one === stored('theme')) ?? 'system')

export function applyTheme(): void {
  const chosen = theme.get()
  if (chosen === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = chosen
}

export function nextTheme(): void {
  const next = THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length] ?? 'system'
  theme.set(next)
  store('theme', next)
  applyTheme()
}
