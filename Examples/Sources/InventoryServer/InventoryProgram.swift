import EventBusServiceKit
import Glibc

/// The program `inventory-service`.
@main
enum InventoryProgram {
    static func main() async {
        exit(await ServiceDefinition.inventory.main())
    }
}
