import { Button, Tooltip } from '@fluentui/react-components'
import { CheckmarkRegular, CopyRegular, ErrorCircleRegular } from '@fluentui/react-icons'
import { useEffect, useState } from 'react'

import { useScout } from '../hooks/useScout'
import { copyText } from '../lib/copy'
import { problemOf, unwrap } from '../lib/errors'

interface State {
  kind: 'idle' | 'busy' | 'done' | 'failed'
  label: string
}

const IDLE: State = { kind: 'idle', label: 'Copy for AI' }
const ICONS = {
  idle: <CopyRegular />,
  busy: <CopyRegular />,
  done: <CheckmarkRegular />,
  failed: <ErrorCircleRegular />,
}

/** The properties of the document that the page reads. */
interface Context {
  metrics_total: number
  metrics_shown: number
  complete: boolean
}

function copiedLabel(complete: boolean, shown: string, total: string): string {
  if (complete) return 'Copied'
  // The database stops counting at its limit of metrics.
  return shown === total
    ? `Copied ${shown} metrics, not all`
    : `Copied ${shown} of ${total} metrics`
}

/** Copies the metrics on the screen as a JSON document for an AI. */
export function CopyContext({ search, flaggedOnly }: { search: string; flaggedOnly: boolean }) {
  const { scout, formats } = useScout()
  const [state, setState] = useState<State>(IDLE)
  useEffect(() => {
    if (state.kind !== 'done' && state.kind !== 'failed') return
    const timer = setTimeout(() => setState(IDLE), 6000)
    return () => clearTimeout(timer)
  }, [state])

  const read = async () => {
    const args = { ...(search ? { search } : {}), ...(flaggedOnly ? { alerts_only: true } : {}) }
    return unwrap(
      await scout.rpc('metrics_context', args, { get: true }).retry(false),
    ) as unknown as Context
  }
  const copy = async () => {
    if (state.kind === 'busy') return
    setState({ kind: 'busy', label: 'Copying …' })
    try {
      const context = read()
      // Without indentation: with it the text would exceed the database's limit of bytes.
      await copyText(context.then((document) => JSON.stringify(document)))
      const { complete, metrics_shown: shown, metrics_total: total } = await context
      setState({
        kind: 'done',
        label: copiedLabel(complete, formats.count(shown), formats.count(total)),
      })
    } catch (error) {
      const problem = problemOf(error)
      setState({
        kind: 'failed',
        label: `Not copied: ${problem.code === '-1' ? problem.detail : problem.title}`,
      })
    }
  }
  return (
    <Tooltip
      content="Copies the metrics on this page as JSON, as context for an AI prompt"
      relationship="description"
    >
      <Button
        icon={ICONS[state.kind]}
        onClick={() => void copy()}
        disabledFocusable={state.kind === 'busy'}
        aria-live="polite"
      >
        {state.label}
      </Button>
    </Tooltip>
  )
}
