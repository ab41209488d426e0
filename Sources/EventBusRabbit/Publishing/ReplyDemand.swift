/// A signal that there is a reply to send. Most services answer no requests, and need no connection for replies.
struct ReplyDemand: Sendable {
    private let replies: AsyncStream<Void>
    private let first: AsyncStream<Void>.Continuation

    init() {
        (replies, first) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Records that there is a reply.
    func signal() { first.yield() }

    /// Waits for the first reply. Returns `false` if the task is cancelled before.
    func wait() async -> Bool {
        for await _ in replies { return true }
        return false
    }
}
