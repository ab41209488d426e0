import Foundation
import ShopData
import Testing

@testable import Fleet

extension EndToEndTests {
    @Test("Two replicas of every service on PostgreSQL: the books agree, and nothing is handled twice")
    func postgres() async throws {
        let outcome = try await TestFleet.with(replicas: 2, usesPostgres: true) { fleet in
            #expect(fleet.services.count == 6)
            return try await FleetRun(fleet: fleet, input: TestFleet.input(60)).run()
        }
        #expect(outcome.audit.violations == [])
        let (shop, fleet) = (outcome.report.shop, outcome.report.fleet)
        #expect(shop.orders == 60 && shop.notified == 60 && shop.rejected > 0 && shop.deadLetters == 0)
        #expect(fleet.mails == 60 && fleet.handled == 180 && fleet.handledTwice == 0)
    }

    @Test(
        "A chaos run on PostgreSQL, which is killed too: the books agree",
        .enabled(if: ProcessInfo.processInfo.environment["EVENTBUS_TEST_FULL"] == "1")
    )
    func postgresChaos() async throws {
        let outcome = try await TestFleet.with(replicas: 2, usesPostgres: true) { fleet in
            try await FleetRun(
                fleet: fleet,
                input: TestFleet.input(150),
                disturbance: .chaos(seed: 11, strikes: 1),
                rate: 5
            ).run()
        }
        #expect(outcome.audit.violations == [])
        #expect(outcome.report.shop.notified == 150)
        #expect(outcome.report.fleet.kills == 9)
        #expect(outcome.report.fleet.mails == 150)
    }
}
