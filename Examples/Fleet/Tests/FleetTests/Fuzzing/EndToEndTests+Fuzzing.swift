import Foundation
import Synchronization
import Testing

@testable import Fleet

extension EndToEndTests {
    /// The number of requests to each service: 500, or `FLEET_TEST_REQUESTS`.
    private static let requestCount =
        ProcessInfo.processInfo.environment["FLEET_TEST_REQUESTS"].flatMap { Int($0) } ?? 500

    @Test("Malformed requests are answered without a 5xx")
    func generated() async throws {
        try await TestFleet.with { fleet in
            let ports = (await fleet[.orders].port, await fleet[.inventory].port)
            let token = fleet.client.token
            async let orders = flood(
                ports.0,
                MalformedRequests(seed: 1, targets: MalformedRequests.orders, token: token),
                Self.requestCount
            )
            async let inventory = flood(
                ports.1,
                MalformedRequests(seed: 2, targets: MalformedRequests.inventory, token: token),
                Self.requestCount
            )
            for flood in [try await orders, try await inventory] {
                #expect(flood.errors == [])
                print("statuses: \(flood.statuses.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" })")
            }
            #expect(await fleet.unexpectedEnds() == [])
            for service in fleet.services { try await service.ready() }
        }
    }

    @Test("Schemathesis finds no violation of the services' descriptions")
    func schemathesis() async throws {
        guard let program = await Schemathesis.program else {
            print("schemathesis cannot be installed: left out")
            return
        }
        try await TestFleet.with { fleet in
            for kind in [ServiceKind.orders, .inventory] {
                let port = await fleet[kind].port
                try await Schemathesis.check(
                    "http://127.0.0.1:\(port)/openapi.json",
                    token: fleet.client.token,
                    with: program
                )
            }
            #expect(await fleet.unexpectedEnds() == [])
        }
    }
}

/// The result of many requests.
private struct Flood: Sendable {
    var statuses: [Int: Int] = [:]
    /// The responses that reported an error of the service, with their requests.
    var errors: [String] = []
}

/// Sends requests one after another on a separate thread, because sockets block.
private func flood(_ port: Int, _ requests: MalformedRequests, _ count: Int) async throws -> Flood {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread {
            continuation.resume(with: Result { try flooded(port, requests, count) })
        }
        thread.start()
    }
}

private func flooded(_ port: Int, _ requests: MalformedRequests, _ count: Int) throws -> Flood {
    var (requests, flood) = (requests, Flood())
    var connection: RawConnection?
    for _ in 0..<count {
        let request = requests.next()
        let used = try connection ?? RawConnection(port: port, timeout: .seconds(20))
        connection = used
        var status: Int?
        if (try? used.send(request.bytes)) != nil {
            if request.breaksConnection { used.finish() }
            status = used.status()
        }
        if status == nil || request.breaksConnection || status == 400 { connection = nil }
        flood.statuses[status ?? 0, default: 0] += 1
        if let status, status >= 500, flood.errors.count < 5 {
            flood.errors.append("\(status): \(String(decoding: request.bytes.prefix(500), as: UTF8.self))")
        }
    }
    return flood
}
