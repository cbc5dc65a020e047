import { describe, expect, it } from 'vitest'

import { formats, NOTHING } from '../src/lib/format'
import type { Unit } from '../src/types/metric'

// Intl uses no-break spaces.
const plain = (text: string) => text.replaceAll(/[\u00a0\u202f]/g, ' ')
const en = formats('en-PH', 'PHP')

describe('values', () => {
  it('are amounts, percents and counts', () => {
    expect(en.value(1234.5, 'amount')).toBe('₱1,234.50')
    expect(en.value(97.5, 'percent')).toBe('97.5%')
    expect(en.value(1834, 'count')).toBe('1,834')
  })

  it('have the currency symbol in every locale', () => {
    expect(plain(formats('de-DE', 'PHP').value(1234.5, 'amount'))).toBe('1.234,50 ₱')
    expect(formats('en-US', 'PHP').value(1234.5, 'amount')).toBe('₱1,234.50')
    expect(formats('ja-JP', 'PHP').value(1234.5, 'amount')).toBe('₱1,234.50')
    expect(formats('en-US', 'USD').value(1234.5, 'amount')).toBe('$1,234.50')
  })

  it('have no decimals if they are large', () => {
    expect(en.value(9_999.99, 'amount')).toBe('₱9,999.99')
    expect(en.value(2_151_541.24, 'amount')).toBe('₱2,151,541')
    expect(en.value(-2_151_541.24, 'amount')).toBe('-₱2,151,541')
  })

  it('are short on axes', () => {
    expect(en.short(2_151_541.24, 'amount')).toBe('₱2.2M')
    expect(en.short(500, 'amount')).toBe('₱500')
    expect(en.short(12_000, 'count')).toBe('12K')
    expect(en.short(50, 'percent')).toBe('50%')
  })

  it('that are not numbers are a dash', () => {
    // PostgREST sends these values as text.
    for (const value of ['NaN', 'Infinity', '-Infinity', null, undefined, ''])
      expect(en.value(value, 'amount')).toBe(NOTHING)
    expect(en.value('12.5', 'count')).toBe('12.5')
  })

  it('of an unknown unit are plain numbers', () => {
    const odd = 'furlong' as Unit
    expect([en.value(1234.5, odd), en.short(1234.5, odd), en.change(3, 0, odd)?.text]).toEqual([
      '1,234.5',
      '1.2K',
      '+3',
    ])
  })

  it('use the default language if the browser names an invalid one', () => {
    expect(formats(['en-US@posix'], 'PHP').value(5, 'count')).toBe('5')
  })
})

describe('changes', () => {
  it('are relative, of percents in points', () => {
    expect(en.change(110, 100, 'amount')).toEqual({ direction: 'up', text: '+10%' })
    expect(en.change(50, 100, 'count')).toEqual({ direction: 'down', text: '-50%' })
    expect(en.change(91.25, 90, 'percent')).toEqual({ direction: 'up', text: '+1.25 pp' })
    expect(en.change(7, 7, 'count')).toEqual({ direction: 'same', text: '0%' })
  })

  it('from a negative value keep their direction', () => {
    expect(en.change(-50, -100, 'amount')).toEqual({ direction: 'up', text: '+50%' })
  })

  it('from zero are absolute', () => {
    expect(en.change(5, 0, 'count')).toEqual({ direction: 'up', text: '+5' })
    expect(en.change(-1234.5, 0, 'amount')).toEqual({ direction: 'down', text: '-₱1,234.50' })
    expect(en.change(0, 0, 'count')).toEqual({ direction: 'same', text: '0%' })
  })

  it('from a missing value are null', () => {
    expect(en.change(5, null, 'count')).toBeNull()
    expect(en.change('NaN', 5, 'count')).toBeNull()
  })
})

describe('moments', () => {
  it('of a day ignore the time zone', () => {
    expect(en.day('2026-01-06')).toBe('Jan 6, 2026')
    expect(formats('en-GB', 'PHP').day('2026-01-06')).toBe('6 Jan 2026')
    expect(en.day(null)).toBe('no date')
  })

  it('without a calendar date keep their text', () => {
    for (const odd of ['infinity', '-infinity', '0044-03-15 BC', ''])
      expect([en.day(odd), en.shortDay(odd)]).toEqual([odd, odd])
  })

  it('are relative to now', () => {
    const now = new Date('2026-01-06T12:00:00Z')
    const ago = (seconds: number) => en.ago(new Date(now.getTime() - seconds * 1000), now)
    expect([ago(5), ago(61), ago(7_300), ago(90_000)]).toEqual([
      '5 seconds ago',
      '1 minute ago',
      '2 hours ago',
      'yesterday',
    ])
    // The clock of the browser is behind the server's.
    expect(ago(-30)).toBe('now')
  })
})

it('intervals of Postgres are seconds', () => {
  expect(en.duration('00:00:00.8432')).toBe('0.8 sec')
  expect(en.duration('00:01:05')).toBe('65 sec')
  expect(en.duration('1 day 00:00:01')).toBe('86,401 sec')
  expect(en.duration('2 days')).toBe('172,800 sec')
  for (const odd of [null, undefined, '', 'soon']) expect(en.duration(odd)).toBe(NOTHING)
})
