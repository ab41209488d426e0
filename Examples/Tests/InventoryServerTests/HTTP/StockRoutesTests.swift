import EventBus
import EventBusInMemory
import EventBusServiceKit
import EventBusTesting
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import InventoryService
import ServiceTestKit
import ShopEvents
import Testing

@testable import InventoryServer

@Suite("The HTTP routes of the inventory", .timeLimit(.minutes(2)))
struct StockRoutesTests {
    private let file: StockFile

    init() throws {
        file = try StockFile()
    }

    /// Runs a test against the routes.
    private func test(
        lock: some DistributedLock = InMemoryLock(clock: ManualClock()),
        stock: [StockItem] = [],
        _ body: @Sendable (any TestClientProtocol) async throws -> Void
    ) async throws {
        let replica = try Replica(file, lock: lock)
        _ = try await replica.store.open(with: stock)
        let router = Router.service(access: .open, routes: StockRoutes(catalog: replica.catalog).add)
        try await Application(router: router, logger: .quiet).test(.router, body)
    }

    private func put(
        _ client: any TestClientProtocol,
        _ uri: String,
        _ body: String,
        type: String = "application/json"
    ) async throws -> TestResponse {
        try await client.execute(
            uri: uri,
            method: .put,
            headers: [.contentType: type],
            body: ByteBuffer(string: body)
        )
    }

    @Test("A product is created, shown and changed")
    func put() async throws {
        try await test { client in
            let made = try await put(
                client,
                "/stock/NW-011",
                #"{"quantity": 22, "name": "Queso Cabrales", "unitPrice": "21.00"}"#
            )
            #expect(made.status == .created)
            #expect(made.headers[.location] == "/stock/NW-011")
            let shown = try await client.get("/stock/NW-011")
            #expect(shown.status == .ok)
            #expect(shown.body == made.body)
            #expect(
                String(buffer: shown.body)
                    == #"{"name":"Queso Cabrales","quantity":22,"sku":"NW-011","unitPrice":"21.00"}"#
            )
            let changed = try await put(client, "/stock/NW-011", #"{"quantity": 5}"#)
            #expect(changed.status == .ok)
            #expect(changed.headers[.location] == nil)
            let item = try await client.get("/stock/NW-011").decode(StockItem.self)
            #expect(item.quantity == 5)
            #expect(item.name == "Queso Cabrales")
        }
    }

    @Test("Setting a quantity twice sets it once")
    func idempotent() async throws {
        try await test { client in
            for _ in 1...2 { _ = try await put(client, "/stock/A", #"{"quantity": 5}"#) }
            #expect(try await client.get("/stock/A").decode(StockItem.self).quantity == 5)
        }
    }

    @Test("An unknown product is not found")
    func missing() async throws {
        try await test { client in
            let response = try await client.get("/stock/NW-011")
            #expect(response.status == .notFound)
            #expect(response.headers[.contentType] == "application/problem+json")
            #expect(try response.decode(ProblemDocument.self).detail == "There is no product NW-011.")
        }
    }

    @Test("A path that is not a SKU is refused, and an escaped one is decoded")
    func paths() async throws {
        try await test(stock: [.sample("A.1", 2)]) { client in
            for path in ["%20", "a%2Fb", "%00", "-a", "%ff", String(repeating: "a", count: 65)] {
                let response = try await client.get("/stock/\(path)")
                #expect(response.status == .badRequest, "\(path)")
                #expect(try response.decode(ProblemDocument.self).errors?.map(\.field) == ["sku"])
            }
            #expect(try await client.get("/stock/%41%2E1").status == .ok)
        }
    }

    @Test(
        "Each field that is wrong is named",
        arguments: [
            (#"{"quantity": -1}"#, ["quantity"]),
            (#"{"quantity": 1000000001, "name": "", "unitPrice": "x"}"#, ["quantity", "name", "unitPrice"]),
            (#"{"quantity": 1, "name": "a\u0000b"}"#, ["name"]),
            (#"{"quantity": 1, "unitPrice": "-0.01"}"#, ["unitPrice"]),
            (#"{"quantity": 1, "unitPrice": "-0.00"}"#, ["unitPrice"]),
            (#"{"quantity": 1, "unitPrice": "1000000.00"}"#, ["unitPrice"]),
            (#"{"quantity": 1, "unitPrice": "1.234"}"#, ["unitPrice"]),
            (#"{"quantity": 1, "unitPrice": ""}"#, ["unitPrice"]),
            (#"{"quantity": "1"}"#, ["quantity"]),
            (#"{"quantity": 1.5}"#, ["quantity"]),
            (#"{"name": "a"}"#, ["quantity"]),
        ]
    )
    func fields(body: String, expected: [String]) async throws {
        try await test { client in
            let response = try await put(client, "/stock/A", body)
            #expect(response.status == .badRequest)
            #expect(try response.decode(ProblemDocument.self).errors?.map(\.field) == expected)
            #expect(try await client.get("/stock/A").status == .notFound)
        }
    }

    @Test("A body that is not JSON, is too large or has another content type is refused")
    func bodies() async throws {
        try await test { client in
            let large = #"{"quantity": 1, "name": ""# + String(repeating: "a", count: 20_000) + #""}"#
            for (body, type, expected): (String, String, HTTPResponse.Status) in [
                ("quantity=1", "application/json", .badRequest), ("", "application/json", .badRequest),
                ("{}", "text/plain", .unsupportedMediaType), (large, "application/json", .contentTooLarge),
            ] {
                let response = try await put(client, "/stock/A", body, type: type)
                #expect(response.status == expected)
                #expect(response.headers[.contentType] == "application/problem+json")
            }
        }
    }

    @Test("The list is paged")
    func list() async throws {
        try await test(stock: ["C", "A", "B"].map { try .sample($0, 1) }) { client in
            let first = try await client.get("/stock?limit=2").decode(StockPage.self)
            #expect(first.items.map(\.sku) == ["A", "B"])
            #expect(first.next == "B")
            let last = try await client.get("/stock?limit=2&after=B").decode(StockPage.self)
            #expect(last.items.map(\.sku) == ["C"])
            #expect(last.next == nil)
            #expect(try await client.get("/stock").decode(StockPage.self).items.count == 3)
        }
    }

    @Test(
        "A query that is wrong is refused",
        arguments: [
            ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=+1", "limit"), ("limit=", "limit"),
            ("limit=1&limit=2", "limit"), ("after=", "after"), ("after=a%20b", "after"), ("sku=A", "sku"),
        ]
    )
    func queries(query: String, field: String) async throws {
        try await test { client in
            let response = try await client.get("/stock?\(query)")
            #expect(response.status == .badRequest)
            #expect(try response.decode(ProblemDocument.self).errors?.map(\.field) == [field])
        }
    }

    @Test("Without the lock's store nothing is changed, and the client is told when to retry")
    func lockOutage() async throws {
        try await test(lock: LockOutage(), stock: [.sample("A", 1)]) { client in
            let response = try await put(client, "/stock/A", #"{"quantity": 5}"#)
            #expect(response.status == .serviceUnavailable)
            #expect(response.headers[.contentType] == "application/problem+json")
            #expect(response.headers[.retryAfter] == "1")
            #expect(try await client.get("/stock/A").decode(StockItem.self).quantity == 1)
        }
    }

    @Test("A lease that another one has followed changes nothing, and the client may try again")
    func staleLease() async throws {
        try await test(lock: OpenDoor(token: 7)) { client in
            let response = try await put(client, "/stock/A", #"{"quantity": 5}"#)
            #expect(response.status == .created)
        }
        try await test(lock: OpenDoor(token: 6)) { client in
            let response = try await put(client, "/stock/A", #"{"quantity": 9}"#)
            #expect(response.status == .serviceUnavailable)
            #expect(try await client.get("/stock/A").decode(StockItem.self).quantity == 5)
        }
    }
}
