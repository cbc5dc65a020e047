// @vitest-environment jsdom
import { act, renderHook } from '@testing-library/react'
import type { ReactNode } from 'react'
import { HashRouter, MemoryRouter, Route, Routes, useParams } from 'react-router'
import { expect, it } from 'vitest'

import { metricPath, useFilters } from '../src/hooks/useFilters'

/** The code and the filters that the page of a metric finds in its address. */
function open(address: string) {
  const wrapper = ({ children }: { children: ReactNode }) => (
    <MemoryRouter initialEntries={[address]}>
      <Routes>
        <Route path="/metric/:code" element={children} />
      </Routes>
    </MemoryRouter>
  )
  const useAddress = () => ({
    code: useParams().code,
    filters: Object.fromEntries(useFilters()[0]),
  })
  return renderHook(useAddress, { wrapper }).result.current
}

it('finds the code and the filters in the address of a metric', () => {
  const filters = { brand: 7, since: null, until: '2026-01-06', store: '' }
  expect(open(metricPath('A/B & C? 100%', filters))).toEqual({
    code: 'A/B & C? 100%',
    filters: { brand: '7', until: '2026-01-06' },
  })
  expect(metricPath('SALES')).toBe('/metric/SALES')
})

it('accepts an address that is not encoded correctly', () => {
  expect(open('/metric/%E0%A4%A').code).toBe('%E0%A4%A')
})

it('changes a filter in place and keeps the others', () => {
  globalThis.location.hash = '#/metric/SALES?brand=7&store=3'
  const entries = globalThis.history.length
  const { result } = renderHook(() => useFilters(), { wrapper: HashRouter })
  act(() => result.current[1]({ store: null, since: '2026-01-06' }))
  expect(globalThis.location.hash).toBe('#/metric/SALES?brand=7&since=2026-01-06')
  expect(Object.fromEntries(result.current[0])).toEqual({ brand: '7', since: '2026-01-06' })
  expect(globalThis.history.length).toBe(entries)
  act(() => result.current[1]({ brand: '', since: null }))
  expect(globalThis.location.hash).toBe('#/metric/SALES')
})
