import { MutationCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import { App, preload } from './app'
import { connect, Refusal } from './data/client'
import { loadConfig } from './data/config'
import { SessionProvider } from './data/session'
import { applyTheme } from './lib/theme'
import { ErrorNote } from './ui/basics'
import { showRefusal } from './ui/toast'
import './styles/tokens.css'
import './styles/base.css'
import './styles/shell.css'
import './styles/parts.css'

applyTheme()
preload()
const root = createRoot(document.getElementById('app') as HTMLElement)

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      gcTime: 300_000,
      refetchOnWindowFocus: false, // coming back is noticed, and throttled, by useLiveQuery
      networkMode: 'always',
      retry: (failures, fault) => fault instanceof Refusal && fault.isUnreachable && failures < 2,
    },
    mutations: { networkMode: 'always' },
  },
  mutationCache: new MutationCache({
    onError: (fault, input, _, mutation) => {
      if (!mutation.meta?.showsRefusal) showRefusal(fault, () => void mutation.execute(input).catch(() => undefined))
    },
  }),
})

async function start(): Promise<void> {
  try {
    connect(await loadConfig())
  } catch (fault) {
    root.render(<main className="alone"><ErrorNote error={fault} retry={() => void start()} /></main>)
    return
  }
  root.render(
    <QueryClientProvider client={queries}>
      <SessionProvider>
        <App />
      </SessionProvider>
    </QueryClientProvider>,
  )
}

void start()
