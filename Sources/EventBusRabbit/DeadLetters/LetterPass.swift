import ConnectionThread
import EventBus

/// A pass through a queue on the tools' connection, and a search for entries that the end of the pass may have returned to
/// the queue although they were acknowledged.
struct LetterPass {
    /// The result of a pass.
    struct Outcome<Value: Sendable>: Sendable {
        var result: Result<Value, any Error>
        /// The number of acknowledged entries that may be in the queue again.
        var unverified: Int
    }

    let tools: DeadLetterTools
    let queue: String
    var limits = LetterReaderLimits()

    /// The pause between searches.
    private static let pause = Duration.milliseconds(100)

    /// Makes the pass.
    func run<Value: Sendable>(
        prefetch: Int = 500,
        _ body: (inout LetterReader) async throws -> Value
    ) async -> Outcome<Value> {
        var ended: LetterReader?
        do {
            let result = try await tools.withConnection { connection in
                var reader = try await LetterReader(connection, queue: queue, prefetch: prefetch, limits: limits)
                let result: Result<Value, any Error>
                do {
                    result = .success(try await body(&reader))
                } catch {
                    result = .failure(error)
                }
                await reader.close()
                ended = reader
                return result
            }
            guard let ended, !ended.doubt.isEmpty else { return Outcome(result: result, unverified: 0) }
            let search = self
            let unverified = await withoutCancellation { await search.removeReturned(of: ended) }
            return Outcome(result: result, unverified: unverified)
        } catch {
            return Outcome(result: .failure(error), unverified: 0)
        }
    }

    /// Removes the acknowledged entries that the end of a pass has returned, and returns the number of those that may
    /// still be in the queue.
    ///
    /// A channel returns its entries together. So if one of them is found, those that are not found are gone. A broker may
    /// notice later than this side that a connection was lost, so they are searched for repeatedly then.
    private func removeReturned(of pass: LetterReader) async -> Int {
        var (doubt, isLost) = (pass.doubt, pass.isLost)
        let held = pass.kept.count + doubt.count + 2 * Int(pass.prefetch)
        let deadline = MonotonicTime.now.advanced(by: limits.searchTime)
        repeat {
            do {
                let search = try await tools.withConnection { [doubt] connection in
                    var reader = try await LetterReader(connection, queue: queue, limits: limits, returned: doubt)
                    let result: Result<Void, any Error>
                    do {
                        result = .success(try await reader.removeReturned(reading: held))
                    } catch {
                        result = .failure(error)
                    }
                    await reader.close()
                    return (reader, result)
                }
                let (reader, result) = search
                // Entries that the search itself has acknowledged may be back in the queue.
                doubt = reader.unconfirmed
                if case .failure = result {
                    doubt = reader.doubt
                } else if isLost, reader.recognized == 0 {
                    doubt = reader.doubt
                }
                isLost = reader.isLost || (isLost && reader.recognized == 0)
                if doubt.isEmpty { return 0 }
            } catch let failure as AMQPFailure where failure.code == AMQPFailure.notFound && !failure.isQueueDown {
                return 0
            } catch {
                // There is no connection at present.
            }
            guard !tools.isEnding else { break }
            try? await Task.sleep(for: Self.pause)
        } while MonotonicTime.now < deadline
        return doubt.count
    }
}
