import EventStory
import Foundation
import Glibc
import ShopData
import Testing

@testable import Fleet

/// The whole shop as it is deployed: every service is a process, connected by RabbitMQ and Redis.
///
/// The tests are serialized, because some stop the brokers that all share.
@Suite("The shop as processes", .serialized, .timeLimit(.minutes(5)))
struct EndToEndTests {
    @Test("A quiet run: the books agree, nothing is handled twice, and every order has a story across all services")
    func quiet() async throws {
        let outcome = try await TestFleet.with(replicas: 2) { fleet in
            try await FleetRun(fleet: fleet, input: TestFleet.input(60)).run()
        }
        #expect(outcome.audit.violations == [])
        let (shop, fleet) = (outcome.report.shop, outcome.report.fleet)
        #expect(shop.orders == 60)
        #expect(shop.notified == 60)
        #expect(shop.rejected > 0)
        #expect(shop.reserved + shop.rejected == 60)
        #expect(shop.deadLetters == 0)
        #expect(fleet.mails == 60)
        #expect(fleet.posts == 60)
        // An order, the answer to it and its end, each of which one group handles.
        #expect(fleet.handled == 180)
        #expect(fleet.handledTwice == 0)
        #expect(fleet.stories == 60)

        let story = try #require(outcome.stories.mostInteresting)
        #expect(story.isRejection)
        #expect(Set(story.spans.filter(\.isProcessing).map(\.kind)) == Set(ServiceKind.allCases))
        let lines = StoryDrawing(story).description.split(separator: "\n")
        #expect(lines.allSatisfy { $0.count <= 100 })

        let json = try JSONSerialization.jsonObject(with: JSONEncoder().encode(outcome.report)) as? [String: Any]
        let report = try #require(json)
        #expect(report["notified"] as? Int == 60)
        #expect(report["disturbance"] as? String == "none")
        #expect((report["postP99Milliseconds"] as? Double ?? 0) > 0)
    }

    @Test("A rolling restart: the books agree, every process exits with 0, and nothing is handled twice")
    func rolling() async throws {
        let outcome = try await TestFleet.with(replicas: 2) { fleet in
            try await FleetRun(fleet: fleet, input: TestFleet.input(60), disturbance: .rolling, rate: 8).run()
        }
        #expect(outcome.audit.violations == [])
        #expect(outcome.report.shop.notified == 60)
        #expect(outcome.report.fleet.stops == 4)
        #expect(outcome.report.fleet.handledTwice == 0)
    }

    @Test("SIGTERM drains and exits with 0, and a second signal immediately ends a request")
    func signals() async throws {
        try await TestFleet.with { fleet in
            for service in fleet.services {
                #expect(try await service.terminate(within: .seconds(30)) == .exited(0), "\(service.name)")
                try await service.restart()
                try await service.ready()

                let request = try RawConnection(port: await service.port, timeout: .seconds(60))
                try request.send("POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
                try request.send("Authorization: Bearer \(fleet.client.token)\r\n")
                try request.send("Content-Length: 10\r\n\r\n{")
                await service.send(SIGTERM)
                try await wait(atMost: .seconds(10), for: "draining of \(service.name)") {
                    try await service.get("/health/ready")?.status != 200
                }
                let start = ContinuousClock.now
                await service.send(SIGINT)
                _ = try await service.exit(within: .seconds(30))
                // Far less than the 20 s that draining may take, but long on a busy machine.
                #expect(start.duration(to: .now) < .seconds(10), "\(service.name)")
                request.close()
            }
        }
    }

    @Test("Without RabbitMQ orders are accepted immediately, and the order service is ready")
    func rabbitMQStopped() async throws {
        try await TestFleet.with { fleet in
            let input = TestFleet.input(100)
            let till = LoadGenerator(orders: input.orders, client: fleet.client, concurrency: 8)
            try await fleet.brokers.stopRabbitMQ()
            try await wait(atMost: .seconds(60), for: "notice of the outage by the inventory") {
                try await fleet[.inventory].get("/health/ready")?.status == 503
            }
            try await till.placeAll(at: await fleet.ports(of: .orders), pace: ArrivalRate(rate: nil, start: .now))
            let ready = try await fleet[.orders].get("/health/ready")
            #expect(ready?.status == 200, "\(ready?.text ?? "no answer")")
            try await fleet.brokers.restartRabbitMQ()

            #expect(till.figures.placed.count == 100)
            #expect(till.figures.serverErrors.isEmpty)
            #expect(till.figures.retries == 0)
            let p99 = till.figures.latencies.quantile(0.99)
            print("POST /orders without RabbitMQ: p99 \(p99) ms, slowest \(till.figures.latencies.maximum) ms")
            // Generous, because the machine may be busy.
            #expect(p99 < 2_000)

            let books = try DatabaseSnapshot(fleet)
            try await wait(atMost: .seconds(120), for: "all notifications") {
                let counts = try await books.counts()
                return counts.notified == 100 && counts.waiting == 0
            }
        }
    }

    @Test("A chaos run: everything, including the brokers, is killed once, and the books agree")
    func chaos() async throws {
        let outcome = try await TestFleet.with(replicas: 2) { fleet in
            try await FleetRun(
                fleet: fleet,
                input: TestFleet.input(150),
                disturbance: .chaos(seed: 11, strikes: 1),
                rate: 10
            ).run()
        }
        #expect(outcome.audit.violations == [])
        #expect(outcome.report.shop.orders == 150)
        #expect(outcome.report.shop.notified == 150)
        #expect(outcome.report.fleet.kills == 6)
        #expect(outcome.report.fleet.mails == 150)
    }
}
