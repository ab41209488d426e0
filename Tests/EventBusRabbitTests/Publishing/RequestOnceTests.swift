import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

private struct Slow: RequestEvent {
    typealias Reply = Int
    static let topic: Topic = "once.slow"
    var number: Int
}

@Suite(.timeLimit(.minutes(2)))
struct RequestOnceTests {
    @Test func `a request whose connection breaks is handled once, and its outcome is unknown`() async throws {
        let name = freshName()
        let direct = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let proxy = try TestProxy(to: direct.hosts[0].port)
        var proxied = direct
        proxied.hosts = [.init("127.0.0.1", port: proxy.port)]
        let responder = try EventBus(transport: .rabbit(direct))
        let requester = try EventBus(transport: .rabbit(proxied))
        let calls = Locked(0)
        let isReleased = Switch(false)
        responder.respond(to: Slow.self, group: "group-\(name)") { request, _ in
            calls.withLock { $0 += 1 }
            try await eventually("released", within: .seconds(60)) { isReleased.isOn || request.number == 2 }
            return request.number
        }
        try await responder.withRunning {
            try await requester.withRunning {
                let answer = Task { try await requester.request(Slow(number: 1), timeout: .seconds(30)) }
                try await eventually("the responder works") { calls.withLock { $0 } == 1 }
                proxy.cutAll()
                let error = await #expect(throws: EventBusError.self) { try await answer.value }
                #expect(error?.code == .indeterminate)
                isReleased.set(true)
                // The next request is sent on the new connection. If the first one had been sent again, it would arrive
                // before.
                #expect(try await requester.request(Slow(number: 2), timeout: .seconds(30)) == 2)
                #expect(calls.withLock { $0 } == 2)
            }
        }
    }
}
