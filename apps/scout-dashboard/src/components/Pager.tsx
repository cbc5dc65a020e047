import { Button, makeStyles, Text, tokens } from '@fluentui/react-components'
import { ChevronLeftRegular, ChevronRightRegular } from '@fluentui/react-icons'

import { useScout } from '../hooks/useScout'

const useStyles = makeStyles({
  pager: {
    display: 'flex',
    flexWrap: 'wrap',
    alignItems: 'center',
    justifyContent: 'flex-end',
    gap: '8px',
    paddingTop: '12px',
  },
  text: { marginRight: 'auto', color: tokens.colorNeutralForeground2 },
})

interface Props {
  page: number
  size: number
  count: number
  what: string
  onPage: (page: number) => void
}

/** Says which rows are shown, and leads to the previous and next page. */
export function Pager({ page, size, count, what, onPage }: Props) {
  const styles = useStyles()
  const { formats } = useScout()
  const pages = Math.max(1, Math.ceil(count / size))
  const first = Math.min(page * size + 1, count)
  return (
    <nav className={styles.pager} aria-label="Pages of the table">
      <Text className={styles.text} role="status">
        {formats.count(first)}–{formats.count(Math.min((page + 1) * size, count))} of{' '}
        {formats.count(count)} {what}
      </Text>
      <Button
        icon={<ChevronLeftRegular />}
        disabledFocusable={page === 0}
        onClick={() => onPage(page - 1)}
      >
        Previous
      </Button>
      <Button
        icon={<ChevronRightRegular />}
        iconPosition="after"
        disabledFocusable={page >= pages - 1}
        onClick={() => onPage(page + 1)}
      >
        Next
      </Button>
    </nav>
  )
}
