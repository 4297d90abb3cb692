import { Component, type ReactNode } from 'react'
import { ErrorNote } from './basics'

/** A page that breaks does not take the others with it. */
export class Boundary extends Component<{ children: ReactNode; at: string }, { fault: Error | null }> {
  override state: { fault: Error | null } = { fault: null }

  static getDerivedStateFromError(fault: Error) {
    return { fault }
  }

  override componentDidUpdate(earlier: { at: string }) {
    if (earlier.at !== this.props.at && this.state.fault) this.setState({ fault: null })
  }

  override render() {
    const { fault } = this.state
    if (!fault) return this.props.children
    const isLoading = /dynamically imported module|Failed to fetch/.test(fault.message)
    const error = isLoading ? new Error('This page could not be loaded. A new version may have been installed: reload.') : fault
    return <ErrorNote error={error} retry={() => (isLoading ? location.reload() : this.setState({ fault: null }))} />
  }
}
