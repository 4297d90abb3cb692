import { lazy, Suspense } from 'react'
import { Route, Router, Switch, useLocation } from 'wouter'
import { useSession, TenancyProvider } from './data/session'
import { currentPlace, hashHref, useHashPath, useHashSearch } from './lib/urls'
import SignIn, { SignInAgain } from './pages/sign-in'
import { Shell } from './shell/shell'
import { Boundary } from './ui/boundary'
import { Empty, ErrorNote, Skeleton } from './ui/basics'
import { Toasts } from './ui/toast'

const LOADERS = {
  '/': () => import('./pages/overview'),
  '/jobs': () => import('./pages/jobs'),
  '/jobs/new': () => import('./pages/job-edit'),
  '/jobs/:id/edit': () => import('./pages/job-edit'),
  '/jobs/:id': () => import('./pages/job'),
  '/runs': () => import('./pages/runs'),
  '/runs/:id': () => import('./pages/run'),
  '/failures': () => import('./pages/failures'),
  '/alerts': () => import('./pages/alerts'),
  '/listeners': () => import('./pages/listeners'),
  '/handlers': () => import('./pages/handlers'),
  '/audit': () => import('./pages/audit'),
  '/workspace': () => import('./pages/workspace'),
}
const ROUTES = Object.entries(LOADERS).map(([pattern, load]) => ({ pattern, load, Page: lazy(load) }))

/** Loads the page that the URL names while the session is looked up. */
export function preload(): void {
  const { path } = currentPlace()
  void ROUTES.find(({ pattern }) => new RegExp(`^${pattern.replace(/:\w+/g, '[^/]+')}$`).test(path))?.load().catch(() => undefined)
}

export function App() {
  return (
    <Router hook={useHashPath} searchHook={useHashSearch} hrefs={hashHref}>
      <SignedIn />
      <Toasts />
    </Router>
  )
}

function SignedIn() {
  const { state } = useSession()
  if (state === 'loading') return <main className="alone"><Skeleton rows={3} /></main>
  if (state === 'out') return <SignIn />
  return (
    <TenancyProvider fallback={(fault, retry) => <main className="alone">{fault ? <ErrorNote error={fault} retry={retry} /> : <Skeleton rows={3} />}</main>}>
      <Shell>
        <Pages />
      </Shell>
      {state === 'expired' && <SignInAgain />}
    </TenancyProvider>
  )
}

function Pages() {
  const [path] = useLocation()
  return (
    <Boundary at={path}>
      <Suspense fallback={<><h1 className="visually-hidden">Loading</h1><Skeleton rows={8} /></>}>
        <Switch>
          {ROUTES.map(({ pattern, Page }) => <Route key={pattern} path={pattern} component={Page} />)}
          <Route><Empty icon="search" title="No such page"><p className="muted">The address leads nowhere. Press <kbd>g</kbd> <kbd>o</kbd> for the overview.</p></Empty></Route>
        </Switch>
      </Suspense>
    </Boundary>
  )
}
