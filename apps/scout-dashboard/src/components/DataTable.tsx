import { makeStyles, mergeClasses, tokens } from '@fluentui/react-components'
import { ArrowDownFilled, ArrowSortRegular, ArrowUpFilled } from '@fluentui/react-icons'
import type { ReactNode } from 'react'

export interface Column<T, S extends string = never> {
  title: string
  cell: (row: T) => ReactNode
  /** Whether the cells are numbers, aligned right. */
  numeric?: boolean
  /** The sort key; without one the column cannot be sorted. */
  sort?: S
  /** Whether the cells are long texts, which wrap. */
  wide?: boolean
}

interface Props<T, S extends string> {
  label: string
  columns: Column<T, S>[]
  rows: readonly T[]
  rowKey: (row: T) => string | number
  sort?: { column: S; ascending: boolean } | undefined
  onSort?: ((column: S) => void) | undefined
  /** Whether other rows are loading. */
  busy?: boolean
}

const useStyles = makeStyles({
  frame: { overflowX: 'auto', outlineOffset: '-2px' },
  busy: { opacity: 0.55 },
  table: {
    width: '100%',
    borderCollapse: 'collapse',
    fontSize: tokens.fontSizeBase300,
    fontVariantNumeric: 'tabular-nums',
  },
  head: {
    padding: '8px 12px',
    textAlign: 'left',
    fontWeight: tokens.fontWeightSemibold,
    color: tokens.colorNeutralForeground2,
    borderBottom: `1px solid ${tokens.colorNeutralStroke1}`,
    whiteSpace: 'nowrap',
  },
  sort: {
    display: 'inline-flex',
    alignItems: 'center',
    columnGap: '4px',
    padding: '2px 4px',
    margin: '-2px -4px',
    border: 'none',
    borderRadius: tokens.borderRadiusSmall,
    background: 'none',
    color: 'inherit',
    font: 'inherit',
    cursor: 'pointer',
    ':hover': {
      color: tokens.colorNeutralForeground1,
      backgroundColor: tokens.colorNeutralBackground1Hover,
    },
  },
  cell: {
    padding: '9px 12px',
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    whiteSpace: 'nowrap',
    verticalAlign: 'top',
  },
  wide: { whiteSpace: 'pre-line', overflowWrap: 'anywhere', minWidth: '180px', maxWidth: '440px' },
  numeric: { textAlign: 'right' },
  row: { ':hover': { backgroundColor: tokens.colorNeutralBackground1Hover } },
})

/** A table whose rows the database sorts. It scrolls sideways if it is wider than the page. */
export function DataTable<T, S extends string = never>({
  label,
  columns,
  rows,
  rowKey,
  sort,
  onSort,
  busy = false,
}: Props<T, S>) {
  const styles = useStyles()
  return (
    <div
      className={mergeClasses(styles.frame, busy && styles.busy)}
      role="region"
      aria-label={label}
      // The keyboard scrolls only elements that can have the focus.
      // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
    >
      <table className={styles.table} aria-busy={busy}>
        <thead>
          <tr>
            {columns.map(({ title, numeric, sort: by }) => {
              const direction =
                by !== undefined && sort?.column === by
                  ? sort.ascending
                    ? 'ascending'
                    : 'descending'
                  : undefined
              const Arrow =
                direction === undefined
                  ? ArrowSortRegular
                  : direction === 'ascending'
                    ? ArrowUpFilled
                    : ArrowDownFilled
              return (
                <th
                  key={title}
                  scope="col"
                  aria-sort={direction}
                  className={mergeClasses(styles.head, numeric && styles.numeric)}
                >
                  {by === undefined ? (
                    title
                  ) : (
                    <button type="button" className={styles.sort} onClick={() => onSort?.(by)}>
                      {title}
                      <Arrow aria-hidden="true" />
                    </button>
                  )}
                </th>
              )
            })}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} className={styles.row}>
              {columns.map(({ title, cell, numeric, wide }) => (
                <td
                  key={title}
                  className={mergeClasses(
                    styles.cell,
                    numeric && styles.numeric,
                    wide && styles.wide,
                  )}
                >
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
