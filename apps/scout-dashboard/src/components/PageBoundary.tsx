import {
  Button,
  MessageBar,
  MessageBarActions,
  MessageBarBody,
  MessageBarTitle,
} from '@fluentui/react-components'
import { Component, type ReactNode } from 'react'

interface Props {
  /** Called before the page is rendered again. */
  onRetry: () => void
  children: ReactNode
}

/** Catches errors of one page, so that the header with its links to the other pages stays. */
export class PageBoundary extends Component<Props, { error: unknown }> {
  override state: { error: unknown } = { error: null }

  static getDerivedStateFromError(error: unknown) {
    return { error: error ?? 'unknown' }
  }

  private readonly retry = () => {
    this.props.onRetry()
    this.setState({ error: null })
  }

  override render() {
    const { error } = this.state
    if (error === null) return this.props.children
    return (
      <MessageBar intent="error" layout="multiline">
        <MessageBarBody>
          <MessageBarTitle>This page cannot be shown</MessageBarTitle>
          Check your connection and try again. If a new version of the dashboard was deployed,
          reload the page.
          <details>
            <summary>Details</summary>
            {error instanceof Error
              ? error.message
              : 'The page threw a value that is not an error.'}
          </details>
        </MessageBarBody>
        <MessageBarActions>
          <Button onClick={this.retry}>Try again</Button>
          <Button onClick={() => globalThis.location.reload()}>Reload</Button>
        </MessageBarActions>
      </MessageBar>
    )
  }
}
