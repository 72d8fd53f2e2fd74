/**
 * Prints the suite's result as one plain line: `N passed, N failed, N skipped`.
 *
 * A skipped test proves nothing, so it fails the run as a failed one does.
 */
export default class ClosingLineReporter {
  #skipped = 0

  onRunComplete(_contexts, results) {
    this.#skipped = results.numPendingTests + results.numTodoTests
    // A suite that could not even be loaded counts as one failure.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites
    console.log(`${results.numPassedTests} passed, ${failed} failed, ${this.#skipped} skipped`)
  }

  getLastError() {
    const selected = process.argv.some((argument) => /^(-t|--testNamePattern)/.test(argument))
    if (this.#skipped > 0 && !selected) return new Error(`${this.#skipped} tests were skipped`)
  }
}
