import { useQuery } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { config } from '../data/client'
import { listProviders, nameOf, signInWith } from '../data/providers'
import { useSession } from '../data/session'
import { Button, ErrorNote } from '../ui/basics'
import { Dialog } from '../ui/dialog'
import { Icon } from '../ui/icon'

export default function SignIn() {
  return (
    <main className="sign-in">
      <div className="sign-in-card">
        <div className="brand-large"><Icon name="clock" size={28} /></div>
        <h1>Sign in to your jobs</h1>
        <p className="muted">with a user of the project at <bdi>{new URL(config.supabaseUrl).host}</bdi></p>
        <Form />
      </div>
    </main>
  )
}

/** Over the page, which stays as it is, once a session has ended. */
export function SignInAgain() {
  const { user } = useSession()
  return (
    <Dialog title="Your session has ended" closable={false} onClose={() => undefined}>
      <p className="muted dialog-text">Sign in again, and go on where you are. Nothing is lost.</p>
      <Form email={user?.email ?? ''} />
    </Dialog>
  )
}

function Form({ email = '' }: { email?: string }) {
  const { signIn, fault: returned } = useSession()
  const [fault, setFault] = useState<unknown>(null)
  const [isBusy, setIsBusy] = useState(false)

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    setIsBusy(true)
    setFault(null)
    await signIn(String(form.get('email')), String(form.get('password'))).catch(setFault)
    setIsBusy(false)
  }
  return (
    <form className="fields" onSubmit={(event) => void submit(event)}>
      <label className="field">
        <span>Email</span>
        <input className="input" type="email" name="email" autoComplete="username" required defaultValue={email} autoFocus={!email} />
      </label>
      <label className="field">
        <span>Password</span>
        <input className="input" type="password" name="password" autoComplete="current-password" required autoFocus={Boolean(email)} />
      </label>
      {(fault ?? returned) !== null && <ErrorNote error={fault ?? returned} />}
      <Button type="submit" kind="primary" isBusy={isBusy}>{isBusy ? 'Signing in…' : 'Sign in'}</Button>
      <Providers onFault={setFault} />
    </form>
  )
}

function Providers({ onFault }: { onFault: (fault: unknown) => void }) {
  const { data } = useQuery({ queryKey: ['providers'], queryFn: ({ signal }) => listProviders(signal), staleTime: Infinity, retry: false })
  return data?.map((provider) => (
    <Button key={provider} onClick={() => void signInWith(provider).catch(onFault)}>Continue with {nameOf(provider)}</Button>
  ))
}
