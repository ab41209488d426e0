import EventBus
import OrderService
import ServiceTestKit
import ShopEvents
import Testing

@testable import OrderServer

@Suite("A list of orders", .timeLimit(.minutes(2)))
struct OrderPagingTests {
    private func pages(
        of scene: Scene,
        status: OrderStatus.Kind? = nil,
        limit: Int
    ) async throws -> [[String]] {
        var pages: [[String]] = []
        var previous: String?
        repeat {
            let page = try await scene.store.page(withStatus: status, after: previous, limit: limit)
            pages.append(page.orders.map(\.id))
            previous = page.next
        } while previous != nil
        return pages
    }

    private func place(_ count: Int, in scene: Scene) async throws -> [String] {
        var ids: [String] = []
        for _ in 0..<count {
            ids.append(try await scene.store.place(try .sample(), correlationID: "c").record.order.id)
        }
        return ids
    }

    @Test("Pages hold each order once, in the order in which they were placed", arguments: [1, 2, 3, 7, 8, 100])
    func pages(limit: Int) async throws {
        let scene = try Scene()
        let ids = try await place(7, in: scene)
        let pages = try await pages(of: scene, limit: limit)
        #expect(pages.flatMap(\.self) == ids)
        #expect(pages.count == (7 + limit - 1) / limit)
        #expect(pages.dropLast().allSatisfy { $0.count == limit })
    }

    @Test("A list of one status has the orders of that status")
    func status() async throws {
        let scene = try Scene()
        let ids = try await place(6, in: scene)
        for id in ids.prefix(2) { _ = try await scene.store.end(id, as: .confirmed, handling: nil) }
        _ = try await scene.store.end(ids[5], as: .cancelled(.outOfStock, skus: ["A"]), handling: nil)
        #expect(try await pages(of: scene, status: .placed, limit: 2) == [[ids[2], ids[3]], [ids[4]]])
        #expect(try await pages(of: scene, status: .confirmed, limit: 2) == [[ids[0], ids[1]]])
        #expect(try await pages(of: scene, status: .cancelled, limit: 2) == [[ids[5]]])
    }

    @Test("An order that is placed during paging appears on a later page")
    func whilePaging() async throws {
        let scene = try Scene()
        let ids = try await place(3, in: scene)
        let first = try await scene.store.page(withStatus: nil, after: nil, limit: 2)
        let late = try await place(2, in: scene)
        let rest = try await scene.store.page(withStatus: nil, after: first.next, limit: 10)
        #expect(rest.orders.map(\.id) == [ids[2]] + late)
        #expect(rest.next == nil)
    }

    @Test("Without orders there is one empty page")
    func empty() async throws {
        let scene = try Scene()
        #expect(try await pages(of: scene, limit: 10) == [[]])
    }

    @Test("Concurrently placed orders are numbered in the order in which they appear")
    func numbering() async throws {
        let scene = try Scene()
        try await withThrowingTaskGroup { group in
            for _ in 0..<200 {
                group.addTask { _ = try await scene.store.place(try .sample(), correlationID: "c") }
            }
            try await group.waitForAll()
        }
        let events = try await scene.database.outbox().map(\.id)
        #expect(events.count == 200)
        #expect(events == events.sorted())
    }
}
