"""What the sample company offers and has agreed: the menu, its levels by segment, and agreements since mid-2023."""

from __future__ import annotations

from pathlib import Path

MENU = """\
option,name,kind,process,line,per,unit,activity,unit_cost,capacity,measure,target,method,penalty,bonus,uplift_on,uplift_low,uplift,uplift_high
order_desk,Order desk,service,customer service management,order_processing,order,inquiry answered,inquiry,,,answered within a day,0.90,inquiries answered within one working day of all received,,,,,,
booked_window,Delivery in a booked window,service,order fulfilment,transportation,order,booked delivery,,18.00,900,delivered on time,0.95,orders delivered on the confirmed day of all delivered,0.005,,sales,0.005,0.010,0.020
rush_orders,Rush orders,service,order fulfilment,order_processing,order,rush order,rush_order,,900,,,,,,retention,0.000,0.004,0.010
reserved_stock,Reserved stock,service,demand management,inventory_carrying_cost,month,month of reserved stock,,480.00,240,delivered in full,0.97,orders delivered whole at the first delivery of all delivered,0.005,,retention,0.005,0.012,0.025
demand_plan,Joint demand plan,service,demand management,salaries,month,planning meeting,,380.00,72,,,,,,sales,0.002,0.008,0.020
electronic_invoice,Electronic invoice,service,customer service management,order_processing,order,electronic invoice,,0.90,,invoiced without error,0.98,invoices that needed no correction of all issued,,,,,,
collected_returns,Returns collected,service,returns management,order_processing,order,return handled,credit_note,,,free of damage,0.99,orders received without damage of all delivered,,,,,,
store_packing,Store-ready packing,product,manufacturing flow management,special_packaging,unit,case packed,special_pack,,100000,,,,,,sales,0.000,0.010,0.020
certified_fibre,Paper from certified fibre,product,supplier relationship management,cost_of_goods_sold,unit,certified case,,0.18,120000,,,,,,sales,0.000,0.002,0.005
own_label_trial,Trial of an own label,product,product development and commercialisation,salaries,year,trial,,14000.00,2,,,,,,sales,0.010,0.030,0.060
"""
# floor, target and ceiling of each option: units for each of what the option is counted by
LEVELS = {
    "Key account": {"order_desk": (0.2, 0.5, 1), "booked_window": (0, 0.8, 1), "rush_orders": (0.02, 0.1, 0.25), "reserved_stock": (0, 1, 1), "demand_plan": (0, 1, 2),
                    "electronic_invoice": (0.5, 1, 1), "collected_returns": (0.05, 0.15, 0.3), "store_packing": (0, 0.05, 0.2), "certified_fibre": (0, 0.3, 0.6), "own_label_trial": (0, 0.5, 1)},
    "Core": {"order_desk": (0.2, 0.5, 1), "booked_window": (0, 0.3, 0.8), "rush_orders": (0.01, 0.04, 0.1), "reserved_stock": (0, 0.25, 0.5), "demand_plan": (0, 0.25, 0.5),
             "electronic_invoice": (0.5, 0.9, 1), "collected_returns": (0.05, 0.15, 0.2), "store_packing": (0, 0.02, 0.1), "certified_fibre": (0, 0.1, 0.3), "own_label_trial": (0, 0, 0.5)},
    "Develop": {"order_desk": (0.3, 0.8, 1.5), "booked_window": (0, 0.2, 0.6), "rush_orders": (0.01, 0.04, 0.08), "demand_plan": (0, 0.5, 0.5), "electronic_invoice": (0.5, 0.9, 1),
                "collected_returns": (0.05, 0.1, 0.15), "store_packing": (0, 0.02, 0.05), "own_label_trial": (0, 1, 1)},
    "Serve simply": {"order_desk": (0.2, 0.8, 1.2), "booked_window": (0, 0, 0.1), "rush_orders": (0, 0.02, 0.03), "electronic_invoice": (0.8, 1, 1),
                     "collected_returns": (0.05, 0.1, 0.1), "store_packing": (0, 0, 0.02)},
    "Mend": {"order_desk": (0.3, 1, 2), "booked_window": (0, 0.1, 0.3), "rush_orders": (0, 0.05, 0.1), "demand_plan": (0, 0.5, 1), "electronic_invoice": (0.8, 1, 1),
             "collected_returns": (0.05, 0.1, 0.15), "store_packing": (0, 0.1, 0.3)},
    "Change terms": {"order_desk": (0.2, 0.5, 1), "rush_orders": (0, 0.02, 0.03), "demand_plan": (0, 0.25, 0.25), "electronic_invoice": (0.8, 1, 1),
                     "collected_returns": (0.05, 0.1, 0.1), "store_packing": (0, 0.05, 0.1)},
}  # fmt: skip
AGREED = """\
agreements:
  - account: C135
    version: 1
    valid_from: 2023-07-01
    valid_to: 2024-06-30
    contacts: {ours: ["M. Lindqvist, key account manager"], theirs: ["Head of purchasing"]}
    commitments:
      - {option: order_desk, level: 0.5, measure: answered within a day, target: 0.90}
      - {option: rush_orders, level: 0.05}
    expected: {sales: 1750000, margin: 520000}
  - account: C135
    version: 2
    valid_from: 2024-07-01
    valid_to: 2026-06-30
    contacts: {ours: ["M. Lindqvist, key account manager", "Head of logistics"], theirs: ["Head of purchasing", "Head of supply chain"]}
    commitments:
      - {option: order_desk, level: 0.5, measure: answered within a day, target: 0.90}
      - {option: booked_window, level: 0.5, measure: delivered on time, target: 0.95, method: orders delivered on the confirmed day of all delivered, penalty: 0.005}
      - {option: rush_orders, level: 0.05}
      - {option: demand_plan, level: 0.5}
    projects: [Pallets in shop order for the ten largest stores]
    expected: {sales: 1800000, margin: 530000}
  - account: C235
    version: 1
    valid_from: 2024-07-01
    valid_to: 2026-06-30
    contacts: {ours: ["S. Moreau, key account manager"], theirs: ["Buyer, household and paper"]}
    commitments:
      - {option: order_desk, level: 2, measure: answered within a day, target: 0.90}
      - {option: rush_orders, level: 0.25}
      - {option: store_packing, level: 0.55}
      - {option: reserved_stock, level: 1, measure: delivered in full, target: 0.97, penalty: 0.005}
    payment: "Invoices are due within 75 days."
    expected: {sales: 2100000, margin: 40000}
  - account: C265
    version: 1
    valid_from: 2024-07-01
    valid_to: 2026-06-30
    contacts: {ours: ["D. Whitlock, key account manager"], theirs: ["F. O'Malley, owner"]}
    commitments:
      - {option: booked_window, level: 1, measure: delivered on time, target: 0.95, penalty: 0.005}
      - {option: reserved_stock, level: 1, measure: delivered in full, target: 0.97, method: orders delivered whole at the first delivery of all delivered, penalty: 0.005}
    expected: {sales: 1650000, margin: 480000}
  - segment: Serve simply
    version: 1
    valid_from: 2024-07-01
    valid_to: 2026-06-30
    contacts: {ours: [Customer service]}
    commitments:
      - {option: order_desk, level: 1, measure: answered within a day, target: 0.90}
      - {option: electronic_invoice, level: 0.8}
    expected: {sales: 2000000, margin: 330000}
"""


def write_offer(folder: Path, general: str) -> None:
    """Write menu.csv, menu_levels.csv and agreements.yml, which begins with the general words that every engagement gets."""
    (folder / "menu.csv").write_text(MENU, encoding="utf-8")
    rows = [
        f"{s},{option},{','.join(map(str, level))}"
        for s, options in LEVELS.items()
        for option, level in options.items()
    ]
    (folder / "menu_levels.csv").write_text(
        "\n".join(["segment,option,floor,target,ceiling", *rows, ""]), encoding="utf-8"
    )
    (folder / "agreements.yml").write_text(general.replace("agreements: []\n", AGREED), encoding="utf-8")
