import EventBus
public import ServiceLifecycle
import Synchronization

/// The readiness of a service: its phase and the health of its dependencies.
///
/// A service is ready after everything has been started, while all required checks are ready, and until the graceful
/// shutdown begins. It is itself a service. Add it to a service group last, so that it is started last and stopped
/// first. ``OperationsRoutes`` shows an example.
public final class Readiness: Service {
    /// The phase of a service.
    enum Phase: Sendable {
        case starting
        case running
        case draining
    }

    private let phase = Mutex(Phase.starting)
    private let checks: [HealthCheck]
    private let timeout: Duration

    /// Creates the readiness of a starting service.
    ///
    /// - Parameters:
    ///   - checks: The dependencies of the service.
    ///   - timeout: The maximum duration of a check. Defaults to two seconds.
    public init(checks: [HealthCheck], timeout: Duration = .seconds(2)) {
        self.checks = checks
        self.timeout = timeout
    }

    /// Makes the service ready until its graceful shutdown begins.
    public func run() async throws {
        begin()
        defer { drain() }
        try await gracefulShutdown()
    }

    /// Records that everything has been started.
    func begin() {
        phase.withLock { if $0 == .starting { $0 = .running } }
    }

    /// Records that the service is about to end.
    func drain() {
        phase.withLock { $0 = .draining }
    }

    /// Returns whether the service should receive work, and otherwise the reason.
    func document() async -> HealthDocument {
        let results = await withTaskGroup(of: (Int, [HealthDocument.Component]).self) { group in
            for (index, check) in checks.enumerated() {
                group.addTask { (index, await self.components(of: check)) }
            }
            var results: [(Int, [HealthDocument.Component])] = []
            for await result in group { results.append(result) }
            return results.sorted { $0.0 < $1.0 }
        }
        let components = results.flatMap(\.1)
        let missing = components.filter { $0.required && $0.status != ComponentHealth.Status.ready.rawValue }
        let reasons = missing.map { "\($0.name): \($0.reason ?? $0.status)" }
        switch phase.withLock({ $0 }) {
        case .starting:
            return HealthDocument(status: "starting", reasons: ["the service is starting"] + reasons, components)
        case .draining:
            return HealthDocument(status: "draining", reasons: ["the service is shutting down"], components)
        case .running where reasons.isEmpty:
            return HealthDocument(status: "ready", reasons: [], components)
        case .running:
            return HealthDocument(status: "notReady", reasons: reasons, components)
        }
    }

    private func components(of check: HealthCheck) async -> [HealthDocument.Component] {
        let timeout = timeout
        let found = await withTaskGroup(of: [ComponentHealth]?.self) { group in
            group.addTask { await check.check() }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        let late = ComponentHealth(name: "check", status: .notReady, reason: "did not answer within \(timeout)")
        return (found ?? [late]).map { HealthDocument.Component($0, required: check.isRequired) }
    }
}
