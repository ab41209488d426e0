import EventBus
import EventBusInMemory
import GRDB
import NotificationService
import Synchronization

@testable import NotificationServer

/// A mailer that counts the messages.
final class CountingMailer: Mailer {
    private let mailer: any Mailer
    private let didSend: @Sendable (Int) async throws -> Void
    private let state = Mutex(0)

    /// Creates a counting mailer.
    ///
    /// - Parameter didSend: A closure that is called after each message with the number of messages.
    init(_ mailer: any Mailer, didSend: @escaping @Sendable (Int) async throws -> Void = { _ in }) {
        self.mailer = mailer
        self.didSend = didSend
    }

    var count: Int { state.withLock { $0 } }

    func send(_ message: MailMessage) async throws -> Bool {
        let isNew = try await mailer.send(message)
        let count = state.withLock { count in
            count += 1
            return count
        }
        try await didSend(count)
        return isNew
    }
}

/// A mailer whose server is down until a time of its clock.
final class RecoveringMailer: Mailer {
    private let clock: AnyClock
    private let recovery: AnyClock.Instant
    private let state = Mutex((attempts: 0, sent: 0))

    init(_ clock: some Clock<Duration>, downFor outage: Duration) {
        self.clock = AnyClock(clock)
        recovery = self.clock.now.advanced(by: outage)
    }

    var attempts: Int { state.withLock { $0.attempts } }
    var sent: Int { state.withLock { $0.sent } }

    func send(_ message: MailMessage) async throws -> Bool {
        let isUp = clock.now >= recovery
        state.withLock { state in
            state.attempts += 1
            if isUp { state.sent += 1 }
        }
        guard isUp else { throw EventBusError(.unavailable, "there is no mail server") }
        return true
    }
}

/// An inbox that is unreachable at times.
final class UnsteadyInbox: Inbox {
    private let inbox: InMemoryInbox
    private let failures: Mutex<(begins: Int, completions: Int)>

    init(_ clock: some Clock<Duration>, beginsThatFail: Int, completionsThatFail: Int) {
        inbox = InMemoryInbox(clock: clock)
        failures = Mutex((beginsThatFail, completionsThatFail))
    }

    func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        let fails = failures.withLock { failures in
            defer { failures.begins = max(0, failures.begins - 1) }
            return failures.begins > 0
        }
        if fails { throw EventBusError(.unavailable, "there is no Redis") }
        return try await inbox.begin(key, lease: lease)
    }

    func renew(_ claim: InboxClaim, lease: Duration) async throws {
        try await inbox.renew(claim, lease: lease)
    }

    func complete(_ claim: InboxClaim, retention: Duration) async throws {
        let fails = failures.withLock { failures in
            defer { failures.completions = max(0, failures.completions - 1) }
            return failures.completions > 0
        }
        if fails { throw EventBusError(.unavailable, "there is no Redis") }
        try await inbox.complete(claim, retention: retention)
    }

    func abandon(_ claim: InboxClaim) async throws {
        throw EventBusError(.unavailable, "there is no Redis")
    }
}
