import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Relative addresses, so that any folder of a server can hold the page.
  base: './',
  plugins: [react()],
  build: { target: 'es2023', manifest: true },
  server: { host: '127.0.0.1' },
  test: { include: ['tests/**/*.test.{ts,tsx}'], restoreMocks: true },
})
