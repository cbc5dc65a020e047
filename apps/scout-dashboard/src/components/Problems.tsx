import {
  Button,
  MessageBar,
  MessageBarActions,
  MessageBarBody,
  MessageBarTitle,
  Skeleton,
  SkeletonItem,
  Text,
  makeStyles,
  tokens,
} from '@fluentui/react-components'
import type { ReactNode } from 'react'

import type { Problem } from '../lib/errors'

const useStyles = makeStyles({
  problem: { marginBottom: '16px' },
  details: { marginTop: '4px', color: tokens.colorNeutralForeground2, overflowWrap: 'anywhere' },
  loading: { display: 'grid', rowGap: '12px' },
  empty: {
    display: 'flex',
    flexDirection: 'column',
    alignItems: 'center',
    rowGap: '8px',
    padding: '56px 16px',
    textAlign: 'center',
    color: tokens.colorNeutralForeground2,
  },
})

/** Shows an error, the next action, and a button to retry. */
export function ProblemBar({
  problem,
  retry,
  stale,
}: {
  problem: Problem
  retry: () => void
  stale: boolean
}) {
  const styles = useStyles()
  return (
    <MessageBar intent="error" layout="multiline" className={styles.problem}>
      <MessageBarBody>
        <MessageBarTitle>{problem.title}</MessageBarTitle>
        {problem.advice}
        {stale && ' The page shows the data of its last successful request.'}
        <details className={styles.details}>
          <summary>Details</summary>
          {problem.detail}
        </details>
      </MessageBarBody>
      <MessageBarActions>
        <Button onClick={retry}>Try again</Button>
      </MessageBarActions>
    </MessageBar>
  )
}

/** Says that there is nothing to show, and why. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  const styles = useStyles()
  return (
    <div className={styles.empty}>
      <Text size={500} weight="semibold">
        {title}
      </Text>
      {children && <Text>{children}</Text>}
    </div>
  )
}

/** Stands in for rows that are loading. */
export function Loading() {
  const styles = useStyles()
  return (
    <Skeleton aria-label="Loading" className={styles.loading}>
      {Array.from({ length: 8 }, (_, index) => (
        <SkeletonItem key={index} size={24} />
      ))}
    </Skeleton>
  )
}
