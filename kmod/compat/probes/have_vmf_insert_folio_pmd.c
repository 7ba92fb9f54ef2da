// SPDX-License-Identifier: GPL-2.0
/* 6.15: vmf_insert_folio_pmd(), of a folio with a reference and a mapcount */
#include <linux/mm.h>

vm_fault_t probe(struct vm_fault *vmf, struct folio *folio);
vm_fault_t probe(struct vm_fault *vmf, struct folio *folio)
{
	return vmf_insert_folio_pmd(vmf, folio, false);
}
